import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { defineSync } from '../../src/index.js'
import { soon } from '../support/soon.js'
import { backfillRig, products } from './rig.js'

test.concurrent('what SafetyKit says of imported rows comes to their objects', async ({ onTestFinished }) => {
  const rig = await backfillRig({
    sql: `${products.sql(25)}; UPDATE products SET title = 'counterfeit bag' WHERE id % 5 = 0`,
    tables: products.tables,
    settings: { results: 'poll' },
    onTestFinished,
  })
  const pipeline = await rig.start()
  await pipeline.backfill({})
  const labelled = () =>
    rig.side<{
      object_id: string
      status: string
      evaluated_request_id: string
      request_id: string
      output: unknown
      url: string
    }>('objects', 'evaluated_at IS NOT NULL')
  await soon(async () => expect(await labelled()).toHaveLength(25))
  for (const {
    object_id: id,
    status,
    output,
    evaluated_request_id: evaluated,
    request_id: current,
  } of await labelled()) {
    expect(evaluated).toBe(current)
    expect(status).toBe('succeeded')
    if (Number(id) % 5 === 0) expect(output).toMatchObject({ labels: [{ label: 'counterfeit' }] })
  }
  await rig.inStep()
})

test.concurrent('an evaluation of an import that a newer state has overtaken does not stay', async ({
  onTestFinished,
}) => {
  const rig = await backfillRig({
    sql: `${products.sql(25)}; UPDATE products SET title = 'counterfeit bag' WHERE id = 7`,
    tables: products.tables,
    settings: { results: 'poll' },
    onTestFinished,
  })
  rig.emulator.imports.hold()
  const pipeline = await rig.start()
  await pipeline.backfill({})
  await rig.write("UPDATE products SET title = 'honest bag' WHERE id = 7")
  await soon(() => expect(rig.emulator.object('products', '7')?.data.title).toBe('honest bag'))
  rig.emulator.imports.release()
  await rig.inStep()
  await soon(async () => {
    const [seven] = await rig.side<{ request_id: string; evaluated_request_id: string; output: unknown }>(
      'objects',
      "object_id = '7'",
    )
    expect(seven?.evaluated_request_id).toBe(seven?.request_id)
    expect(JSON.stringify(seven?.output)).not.toContain('counterfeit')
  })
})

test.concurrent('a webhook of an import that is not recorded yet is kept, and counts once that is', async ({
  onTestFinished,
}) => {
  const rig = await backfillRig({
    sql: `${products.sql(5)}; UPDATE products SET title = 'counterfeit bag' WHERE id = 3`,
    tables: products.tables,
    settings: { results: 'webhook' },
    onTestFinished,
  })
  const secret = `whsec_${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}`
  const receive = defineSync({ capture: 'trigger', results: 'webhook', tables: products.tables } as never).webhook({
    secret,
    databaseUrl: rig.db.url,
    logger: false,
  })
  const statuses: number[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)])
    const answer = await receive(
      new Request('http://localhost/', { method: 'POST', headers, body: Buffer.concat(chunks) }),
    )
    statuses.push(answer.status)
    response.writeHead(answer.status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await receive.close()
  })
  rig.emulator.webhooks.configure({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret })

  const held = rig.held('upload', { resetAfterAccept: true })
  const pipeline = await rig.start()
  const backfill = pipeline.backfill({})
  await held.reached()
  await soon(() => expect(statuses).toHaveLength(5))
  expect(statuses).toEqual([200, 200, 200, 200, 200])
  expect(await rig.side('webhooks', 'applied_at IS NULL')).toHaveLength(5)
  expect(await rig.side('objects')).toEqual([])
  held.goOn()
  await backfill
  await soon(async () => expect(await rig.side('objects', 'evaluated_request_id = request_id')).toHaveLength(5))
  expect(await rig.side('objects', "object_id = '3'")).toMatchObject([
    { output: { labels: [{ label: 'counterfeit' }] } },
  ])
  expect(await rig.side('webhooks', 'applied_at IS NULL')).toEqual([])
})
