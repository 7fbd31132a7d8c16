import { expect, test } from 'vitest'
import { connectEmulator } from '../../src/emulator/index.js'
import { add, ask, emulatorForTest } from '../support/emulator.js'

test('an emulator answers over HTTP what it answers in the process', async () => {
  const emulator = await emulatorForTest({ processingMs: 0 })
  await add(emulator, 'products', [
    { id: '1', n: 1 },
    { id: 'a/b ü', n: 2 },
  ])
  await add(emulator, 'products', { id: '1', n: 3 })
  await add(emulator, 'sellers', { id: '9' })
  await ask(emulator, '/v1/data/sellers/settings', { method: 'PUT', body: { schema: { n: { field_limit: 3 } } } })
  await ask(emulator, '/v1/deletion_requests', { body: { subject_user_id: 'u' } })
  const remote = connectEmulator(`${emulator.url}/`)

  expect(await remote.namespaces()).toEqual(['products', 'sellers'])
  expect(await remote.objects('products')).toEqual(emulator.objects('products'))
  expect(await remote.object('products', 'a/b ü')).toEqual(emulator.object('products', 'a/b ü'))
  expect(await remote.object('products', 'none')).toBeUndefined()
  expect(await remote.history('products', '1')).toEqual(emulator.history('products', '1'))
  expect(await remote.requests()).toEqual(emulator.requests())
  expect(await remote.requests('sellers')).toEqual(emulator.requests('sellers'))
  expect((await remote.requests('sellers')).length).toBe(1)
  expect(await remote.settings('sellers')).toEqual({ n: { field_limit: 3 } })
  expect(await remote.settings('products')).toBeUndefined()
  expect(await remote.settingsCalls()).toBe(1)
  expect(await remote.deletionRequests()).toMatchObject([{ subject_user_id: 'u' }])
  expect(await remote.stats()).toEqual(emulator.stats)
  expect(emulator.stats.calls).toEqual({
    add: 3,
    import: 0,
    upload: 0,
    status: 0,
    results: 0,
    settings: 1,
    deletion: 1,
  })
  expect(await remote.violations()).toEqual([])
})

test('objects come in pages', async () => {
  const emulator = await emulatorForTest()
  const data = Array.from({ length: 25_000 }, (_, n) => ({ id: `o${n}` }))
  for (let n = 0; n < data.length; n += 5_000) await add(emulator, 'many', data.slice(n, n + 5_000))
  const page = await ask(emulator, '/emulator/objects/many?limit=2&after=o7', { method: 'GET', headers: {} })
  expect(page.body).toMatchObject({ objects: [{ id: 'o8' }, { id: 'o9' }], next: 'o9' })
  const last = await ask(emulator, '/emulator/objects/many?limit=2&after=o24997', { method: 'GET', headers: {} })
  expect(last.body).toMatchObject({ objects: [{ id: 'o24998' }, { id: 'o24999' }], next: null })
  expect([...(await connectEmulator(emulator.url).objects('many')).keys()]).toEqual(data.map(({ id }) => id))
})

test('faults are switched on, counted and switched off over HTTP', async () => {
  const emulator = await emulatorForTest()
  const remote = connectEmulator(emulator.url)
  const fault = await remote.faults.add({ when: { namespace: 'products' }, do: { status: 503 } })
  await remote.faults.add({ when: { namespace: 'sellers' }, do: { status: 500 } })
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(503)
  expect(await fault.hits()).toBe(1)
  await fault.remove()
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(200)
  expect((await add(emulator, 'sellers', { id: '1' })).status).toBe(500)
  await remote.faults.clear()
  expect((await add(emulator, 'sellers', { id: '1' })).status).toBe(200)
  await expect(remote.faults.add({ do: {} } as never)).rejects.toThrow('do needs one of')
})

test('reset() forgets everything, faults included', async () => {
  const emulator = await emulatorForTest()
  const remote = connectEmulator(emulator.url)
  await add(emulator, 'products', { id: '1' })
  await remote.faults.add({ do: { status: 500 } })
  await remote.reset()
  expect([emulator.namespaces(), emulator.requests(), emulator.stats.acceptedObjects]).toEqual([[], [], 0])
  expect((await add(emulator, 'products', { id: '1' })).status).toBe(200)
})

test('a question that it does not know is a 404', async () => {
  const emulator = await emulatorForTest()
  for (const path of ['what', 'objects', 'history/products', 'settings']) {
    expect((await ask(emulator, `/emulator/${path}`, { method: 'GET', headers: {} })).status).toBe(404)
  }
  expect((await ask(emulator, '/emulator/faults/77', { method: 'DELETE', headers: {} })).status).toBe(404)
})

test('a port in use is an error of startEmulator, and a free one is chosen by itself', async () => {
  const first = await emulatorForTest()
  const second = await emulatorForTest()
  expect(second.url).not.toBe(first.url)
  await expect(emulatorForTest({ port: Number(new URL(first.url).port) })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
