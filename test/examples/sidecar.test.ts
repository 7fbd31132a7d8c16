import pg from 'pg'
import { expect, test } from 'vitest'
import { connectEmulator } from '../../src/emulator/index.js'
import { soon } from '../support/soon.js'
import { answers, ask } from './http.js'
import { commandsOf, launch, shell } from './launched.js'

test('npm run example:sidecar: the service asks, the sidecar delivers, and SIGTERM ends both with 0', async () => {
  const { example, surroundings } = await launch('sidecar')
  const { URL: service, SAFETYKIT, ID: id, DATABASE_URL: database } = surroundings
  const emulator = connectEmulator(SAFETYKIT)
  expect(example.stdout()).toContain('✓ SafetyKit has the title and the price that the table has')

  const blocks = await commandsOf('sidecar', (block) => block.includes('$URL'))
  expect(blocks).toHaveLength(1)
  const { code, output } = await shell(blocks.join('\n'), surroundings)
  expect({ code, output }).toMatchObject({ code: 0 })
  const reviews = await soon(async () => {
    const { body } = await ask(`${service}/products/${id}/reviews`)
    expect(body).toMatchObject([{ safetykit: { state: 'accepted' } }, { safetykit: { state: 'accepted' } }])
    return body
  })

  const client = new pg.Client({ connectionString: database })
  await client.connect()
  try {
    const { rows } = await client.query('SELECT object_id, request_id FROM safetykit.objects WHERE namespace = $1', [
      'reviews',
    ])
    for (const { object_id, request_id } of rows) {
      expect((await emulator.object('reviews', object_id))?.requestId).toBe(request_id)
    }
    expect(rows.map((row) => row.object_id).sort()).toEqual(reviews.map((one: { id: number }) => String(one.id)))
    await soon(async () => expect((await client.query('SELECT FROM safetykit.dirty')).rowCount).toBe(0))
    const before = await emulator.history('products', id)
    expect(await ask(`${service}/products/${id}/safetykit`, 'POST')).toEqual({ status: 201, body: { resent: 1 } })
    await soon(async () => expect(await emulator.history('products', id)).toHaveLength(before.length + 1))
    expect((await emulator.object('products', id))?.data).toEqual(before.at(-1)?.data)

    // Another program's delete.
    await client.query('DELETE FROM product_reviews WHERE stars = 4')
    await soon(async () => expect((await emulator.object('reviews', '2'))?.data).toEqual({ id: '2', deleted: true }))
  } finally {
    await client.end()
  }

  const status = await commandsOf('sidecar', (block) => block.includes('status'))
  expect(status).toHaveLength(1)
  expect(await shell(status.join('\n'), surroundings)).toMatchObject({ code: 0 })

  const sidecars = [...example.stdout().matchAll(/as process (\d+)/g)].map((match) => Number(match[1]))
  expect(sidecars).toHaveLength(2)
  for (const url of [service, SAFETYKIT, database]) expect(await answers(url)).toBe(true)
  example.kill('SIGTERM')
  expect(await example.exited).toEqual({ code: 0, signal: null })
  expect(example.stdout()).toContain('Service and sidecar have settled what was in flight, and have ended')
  for (const pid of sidecars) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  for (const url of [service, SAFETYKIT, database]) expect(await answers(url)).toBe(false)
})
