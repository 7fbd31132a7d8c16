import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Emulator, startEmulator } from '../../src/emulator/index.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { applyMigrations } from '../support/prisma.js'
import { type RunningCommand, runCommand, startScript } from '../support/sidecar.js'
import { soon } from '../support/soon.js'
import { answers, ask } from './http.js'
import { commandsOf, launch, shell } from './launched.js'

const home = fileURLToPath(new URL('../../examples/inline', import.meta.url))

const lamp = (title: string) => ({
  title,
  price: 129.9,
  seller: { name: 'Ada', email: 'ada@shop.example' },
  images: ['https://img.shop.example/1.jpg', 'https://img.shop.example/2.jpg'],
})

describe('examples/inline, with a database and an API of one’s own', () => {
  let db: TestDatabase
  let emulator: Emulator
  let service: RunningCommand
  let url: string

  const env = () => ({
    DATABASE_URL: db.url,
    SAFETYKIT_BASE_URL: emulator.url,
    SAFETYKIT_API_KEY: emulator.apiKey,
    PORT: '0',
  })

  async function start(): Promise<void> {
    service = startScript('src/server.ts', { cwd: home, env: env() })
    await service.waitForOutput('listens at')
    url = /listens at (\S+)/.exec(service.stdout())?.[1] ?? ''
  }

  async function create(title: string): Promise<string> {
    const { status, body } = await ask(`${url}/products`, 'POST', lamp(title))
    expect({ status, body }).toMatchObject({ status: 201, body: { title, status: 'ACTIVE' } })
    return body.id
  }

  const waiting = async () => (await db.query('SELECT FROM safetykit.dirty')).rowCount
  const arrived = (title: string, id: string) =>
    soon(() => expect(emulator.object('products', id)?.data).toMatchObject({ title }))

  beforeAll(async () => {
    db = await createDatabase()
    await applyMigrations(db.url)
    emulator = await startEmulator()
    expect(await runCommand(['migrate'], { cwd: home, env: env() })).toMatchObject({ code: 0, stderr: '' })
    await start()
  })
  afterAll(async () => {
    service.kill('SIGKILL')
    await service.exited
    await emulator.close()
    await db.drop()
  })

  test('a nested write arrives in every namespace, and the service answers under which request', async () => {
    const id = await create('Brass lamp')
    const status = await soon(async () => {
      const { body } = await ask(`${url}/products/${id}/safetykit`)
      expect(body).toMatchObject({ state: 'accepted', namespace: 'products', objectId: id, error: null })
      return body
    })
    expect(emulator.object('products', id)).toMatchObject({
      requestId: status.requestId,
      data: { title: 'Brass lamp', price: 129.9, status: 'ACTIVE' },
    })
    await soon(async () => expect(await waiting()).toBe(0))
    const { rows } = await db.query<Record<'namespace' | 'object_id' | 'request_id' | 'request_namespace', string>>(
      `SELECT o.namespace, o.object_id, o.request_id, r.namespace AS request_namespace
         FROM safetykit.objects o JOIN safetykit.requests r USING (request_id) WHERE o.state = 'accepted'`,
    )
    expect(rows.map((row) => row.namespace).sort()).toEqual(['product_images', 'product_images', 'products', 'sellers'])
    for (const { namespace, object_id, request_id, request_namespace } of rows) {
      expect(request_namespace).toBe(namespace)
      expect(emulator.object(namespace, object_id)?.requestId).toBe(request_id)
    }
  })

  test('a view sends nothing; an update sends once; the history says so', async () => {
    const id = await create('Viewed lamp')
    await arrived('Viewed lamp', id)
    for (const viewCount of [1, 2, 3]) {
      expect(await ask(`${url}/products/${id}`)).toMatchObject({ status: 200, body: { viewCount } })
    }
    await ask(`${url}/products/${id}`, 'PATCH', { title: 'Viewed lamp, polished' })
    await arrived('Viewed lamp, polished', id)
    expect(emulator.history('products', id)).toHaveLength(2)
    const wanted = emulator.history('products', id).map(({ requestId }) => requestId)
    await soon(async () => {
      const { body } = await ask(`${url}/products/${id}/safetykit/requests`)
      expect(body.map(({ requestId }: { requestId: string }) => requestId)).toEqual(wanted.toReversed())
    })
  })

  test('a checkout is sent as a whole, or not at all', async () => {
    const [first, second] = [await create('Sold first'), await create('Sold never')]
    const sold = await ask(`${url}/checkout`, 'POST', { items: [{ productId: first, quantity: 2 }] })
    expect(sold).toMatchObject({ status: 201, body: { lines: 1 } })
    await soon(() => expect(emulator.object('products', first)?.data.status).toBe('SOLD'))
    await soon(() =>
      expect(emulator.object('order_lines', `${sold.body.orderId}:1`)?.data).toMatchObject({
        product_id: first,
        quantity: 2,
        unit_price: 129.9,
      }),
    )

    const items = [{ productId: second }, { productId: first }]
    expect(await ask(`${url}/checkout`, 'POST', { items })).toMatchObject({ status: 404 })
    await soon(async () => expect(await waiting()).toBe(0))
    expect(emulator.objects('order_lines').size).toBe(1)
    expect(emulator.history('products', second).map(({ data }) => data.status)).toEqual(['ACTIVE'])
  })

  test('mistakes of the caller are told, and nothing is written', async () => {
    const id = await create('Untouched')
    const nobody = '00000000-0000-4000-8000-000000000000'
    const told = await Promise.all([
      ask(`${url}/products`, 'POST', '{"title": '),
      ask(`${url}/products`, 'POST', { title: '' }),
      ask(`${url}/products/${id}`, 'PATCH', { viewCount: 1_000_000 }),
      ask(`${url}/products/lamp/safetykit`),
      ask(`${url}/products/lamp`),
      ask(`${url}/products/${nobody}`),
      ask(`${url}/nowhere`),
    ])
    expect(told.map(({ status }) => status)).toEqual([400, 400, 400, 400, 400, 404, 404])
    expect(await ask(`${url}/products/${nobody}/safetykit`)).toEqual({ status: 200, body: null })
    expect(await ask(`${url}/products/${id}`)).toMatchObject({ body: { title: 'Untouched', viewCount: 1 } })
    expect(service.stderr()).toBe('')
  })

  test('a killed service leaves its rows to the next one, which sends them at its start', async () => {
    const outage = emulator.faults.add({ when: { namespace: 'products' }, do: { status: 503 } })
    const id = await create('Left behind')
    await soon(async () => expect(await waiting()).toBeGreaterThan(0))
    service.kill('SIGKILL')
    await service.exited
    outage.remove()
    expect(emulator.object('products', id)).toBeUndefined()
    await start()
    await arrived('Left behind', id)
  })

  test('SIGTERM ends it with 0, and what is in flight is settled first', async () => {
    await soon(async () => expect(await waiting()).toBe(0))
    const slow = emulator.faults.add({ when: { namespace: 'products', path: 'add' }, do: { latencyMs: 500 } })
    const id = await create('In flight')
    await soon(() => expect(slow.hits).toBe(1))
    service.kill('SIGTERM')
    expect(await service.exited).toEqual({ code: 0, signal: null })
    slow.remove()
    expect(service.stderr()).toBe('')
    expect(await answers(url)).toBe(false)
    const { rows } = await db.query('SELECT request_id FROM safetykit.objects WHERE object_id = $1', [id])
    expect(rows).toEqual([{ request_id: emulator.object('products', id)?.requestId }])
    await start()
    await soon(async () => expect(await waiting()).toBe(0))
    expect(emulator.history('products', id)).toHaveLength(1)
  })
})

test('npm run example:inline: its README’s commands work; SIGTERM ends it with 0 and leaves nothing running', async () => {
  const { example, surroundings } = await launch('inline')
  const { URL: service, SAFETYKIT: emulator, ID: id, DATABASE_URL: database } = surroundings
  expect(example.stdout()).toContain('✓ Sold, as the table says')

  const blocks = await commandsOf('inline', (block) => block.includes('curl'))
  expect(blocks).toHaveLength(2)
  const data = async () => (await ask(`${emulator}/emulator/objects/products/${id}`)).body.data
  const first = await shell(blocks[0]!, surroundings)
  await soon(async () => expect(await data()).toMatchObject({ price: 99 }))
  const second = await shell(blocks[1]!, surroundings)
  expect(first).toMatchObject({ code: 0, output: expect.stringContaining('"viewCount": 1') })
  expect(first.output).toContain('Unrecognized key: \\"colour\\"')
  expect(second).toMatchObject({ code: 0, output: expect.stringContaining('A lamp to be refused') })
  await soon(async () => {
    const { body } = await ask(`${service}/products/${id}/safetykit`)
    expect(body).toMatchObject({ state: 'parked', error: { status: 422 } })
    expect(body.error.message).toContain('no such lamps')
  })
  // Of what was refused SafetyKit has nothing.
  expect(await data()).not.toMatchObject({ title: 'A lamp to be refused' })
  expect((await ask(`${service}/products/${id}`)).body.title).toBe('A lamp to be refused')

  for (const url of [service, emulator, database]) expect(await answers(url)).toBe(true)
  example.kill('SIGTERM')
  expect(await example.exited).toEqual({ code: 0, signal: null })
  expect(example.stdout()).toContain('All of it is stopped and removed')
  for (const url of [service, emulator, database]) expect(await answers(url)).toBe(false)
})
