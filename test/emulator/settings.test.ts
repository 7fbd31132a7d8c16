import { expect, test } from 'vitest'
import { ask, emulatorForTest } from '../support/emulator.js'

test('settings are put as a whole: the second replaces the first', async () => {
  const emulator = await emulatorForTest()
  const first = {
    title: { display_hint: { type: 'title' }, field_limit: 200 },
    images: { content_type: 'image_url', display_hint: { type: 'primary_image_url', name: 'Photo', order: 1 } },
    seller_id: { namespace_ref: 'sellers' },
  }
  const answer = await ask(emulator, '/v1/data/products/settings', { method: 'PUT', body: { schema: first } })
  expect([answer.status, answer.body]).toEqual([200, { namespace: 'products', status: 'updated' }])
  expect(emulator.settings('products')).toEqual(first)

  const second = { card: { content_type: 'card', display_hint: { type: 'chat_thread' }, belongs_to: 'title' } }
  await ask(emulator, '/v1/data/products/settings', { method: 'PUT', body: { schema: second } })
  expect(emulator.settings('products')).toEqual(second)
  expect(emulator.settings('sellers')).toBeUndefined()
  expect(emulator.settingsCalls()).toBe(2)
  expect(emulator.namespaces()).toEqual(['products'])
})

test.each([
  ['an unknown content type', { schema: { a: { content_type: 'image' } } }],
  ['an unknown hint', { schema: { a: { display_hint: { type: 'titel' } } } }],
  ['a hint that is a string', { schema: { a: { display_hint: 'title' } } }],
  ['an unknown word in a hint', { schema: { a: { display_hint: { type: 'title', size: 1 } } } }],
  ['a limit of 0', { schema: { a: { field_limit: 0 } } }],
  ['a limit that is a string', { schema: { a: { field_limit: '10' } } }],
  ['a reference that is no namespace', { schema: { a: { namespace_ref: 'my sellers' } } }],
  ['an unknown setting', { schema: { a: { hint: 'title' } } }],
  ['a name that every object has', { schema: { a: { constructor: 'title' } } }],
  ['a field that is no object', { schema: { a: 'title' } }],
  ['a missing schema', {}],
  ['a schema that is an array', { schema: [] }],
  ['something beside the schema', { schema: {}, namespace: 'products' }],
])('%s is refused with 400 and words that name it', async (_what, body) => {
  const emulator = await emulatorForTest()
  const answer = await ask(emulator, '/v1/data/products/settings', { method: 'PUT', body })
  expect(answer.status).toBe(400)
  expect(answer.body).toEqual({ error: { code: 'invalid_request', message: expect.stringMatching(/schema|setting/) } })
  expect(emulator.settings('products')).toBeUndefined()
  expect(emulator.settingsCalls()).toBe(0)
})

test('there is no call that reads the settings', async () => {
  const emulator = await emulatorForTest()
  expect((await ask(emulator, '/v1/data/products/settings', { method: 'GET' })).status).toBe(405)
})
