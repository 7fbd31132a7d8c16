import { request } from 'undici'
import { expect, test } from 'vitest'
import type { Evaluate } from '../../src/emulator/index.js'
import { add, ask, emulatorForTest } from '../support/emulator.js'
import { finished, uploadedImport } from '../support/imports.js'

interface Result {
  readonly id: string
  readonly output: { readonly actions: unknown[]; readonly labels: { readonly label: string }[] }
}

test.each([
  [{ title: 'A Counterfeit watch' }, ['counterfeit'], ['remove']],
  [
    { title: 'A weapon', text: 'not a weapon, but a COUNTERFEIT weapon' },
    ['weapon', 'counterfeit'],
    ['review', 'remove'],
  ],
  [{ title: 'A watch', tags: ['counterfeit'], about: { text: 'weapon' }, price: 3 }, [], []],
])('by default words in text fields make labels and actions: %j', async (fields, labels, actions) => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { body } = await add(emulator, 'products', { id: '1', ...fields })
  const data = (await finished(emulator, String(body?.requestId))).body?.data as Result[]
  expect(data.map(({ output }) => [output.labels.map(({ label }) => label), output.actions])).toEqual([
    [labels, actions],
  ])
})

test('evaluate says what is found, once for each object of a request, of the state that was sent last in it', async () => {
  const seen: string[] = []
  const evaluate: Evaluate = (object, namespace) => {
    seen.push(`${namespace}/${object.id}/${object.n}`)
    return { labels: [{ label: 'seen', confidence: 0.5 }], fields: { n: object.n } }
  }
  const emulator = await emulatorForTest({ processingMs: 0, evaluate })
  const { body } = await add(emulator, 'products', [
    { id: '1', n: 1 },
    { id: '1', n: 2 },
    { id: '2', n: 3 },
  ])
  await add(emulator, 'products', { id: '1', n: 4 })
  for (let times = 0; times < 2; times += 1) {
    const data = (await finished(emulator, String(body?.requestId))).body?.data
    expect(data).toEqual([
      {
        id: '1',
        output: { actions: [], fields: { n: 2 }, labels: [{ label: 'seen', confidence: 0.5 }] },
        url: expect.any(String),
      },
      {
        id: '2',
        output: { actions: [], fields: { n: 3 }, labels: [{ label: 'seen', confidence: 0.5 }] },
        url: expect.any(String),
      },
    ])
  }
  expect(seen).toEqual(['products/1/2', 'products/2/3', 'products/1/4'])
})

test('a failed evaluation is in no result; where all failed the request has', async () => {
  const evaluate: Evaluate = ({ id }) => {
    if (id === 'throws') throw new Error('no such model')
    return id.startsWith('bad') ? { error: `cannot evaluate ${id}` } : {}
  }
  const emulator = await emulatorForTest({ processingMs: 0, evaluate })
  const mixed = await add(emulator, 'products', [{ id: 'bad1' }, { id: 'good' }, { id: 'throws' }])
  const answer = await finished(emulator, String(mixed.body?.requestId))
  expect(answer.body).toMatchObject({ status: 'succeeded', data: [{ id: 'good' }] })

  const failed = await add(emulator, 'products', [{ id: 'throws' }, { id: 'bad1' }])
  expect((await finished(emulator, String(failed.body?.requestId))).body).toMatchObject({
    status: 'failed',
    data: [],
    error: 'no such model',
  })

  const part = await uploadedImport(emulator, { id: 'good' }, { id: 'bad1' })
  const { body } = await finished(emulator, part)
  expect(body).toMatchObject({ status: 'succeeded', data_count: 1 })
  const lines = await ask(emulator, String(body?.data_url), { method: 'GET', headers: {} })
  expect(JSON.parse(lines.text)).toMatchObject({ id: 'good' })
  const none = await uploadedImport(emulator, { id: 'bad1' }, { id: 'bad2' })
  expect((await finished(emulator, none)).body).toMatchObject({ status: 'failed', data_url: null, data_count: 0 })
  expect(emulator.object('products', 'bad2')).toBeDefined()
})

test('large results are streamed at the speed of the client, whole', async () => {
  const emulator = await emulatorForTest({ processingMs: 0, evaluate: () => ({ fields: { text: 'x'.repeat(2_000) } }) })
  const objects = Array.from({ length: 20_000 }, (_, n) => ({ id: `o${n}` }))
  const { body } = await finished(emulator, await uploadedImport(emulator, ...objects))
  expect(body?.data_count).toBe(20_000)
  const response = await request(String(body?.data_url))
  expect(response.headers['content-length']).toBeUndefined()
  expect(response.headers['content-type']).toBe('application/x-ndjson')
  let rest = ''
  const ids: string[] = []
  let chunks = 0
  for await (const chunk of response.body) {
    chunks += 1
    if (chunks % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) ids.push(JSON.parse(line).id)
  }
  expect(rest).toBe('')
  expect(ids).toEqual(objects.map(({ id }) => id))
})

test('results of a data_url are for those who hold it: a token or a forged URL is refused', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  const { body } = await finished(emulator, await uploadedImport(emulator, { id: '1' }))
  const url = String(body?.data_url)
  const token = await ask(emulator, url, { method: 'GET', headers: { authorization: 'Bearer sk_secret' } })
  expect(token.status).toBe(400)
  expect(emulator.violations).toEqual(['an Authorization header was sent to a results URL'])
  expect((await ask(emulator, url.replace('serial=', 'serial=1'), { method: 'GET', headers: {} })).status).toBe(403)
  expect((await ask(emulator, url, { method: 'GET', headers: {} })).status).toBe(200)
})
