import { setTimeout as sleep } from 'node:timers/promises'
import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { code, dim, done, heading, line, table } from '../print.js'
import { countMapped, openShop } from './shop.js'
import type { DemoStage } from './stage.js'

/** Generous: a busy machine is slow, but a demo that waits for ever tells nobody anything. */
const deadlineMs = 30_000

/** Writes through Prisma and shows what follows. Throws where something did not arrive. */
export async function tellStory(stage: DemoStage, signal: AbortSignal): Promise<void> {
  process.env.DATABASE_URL = stage.databaseUrl
  const { prisma } = await import('./db.js')
  const arrives = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
    until(what, look, { stage, signal })
  try {
    heading('2  The application writes, through Prisma')
    const { lampId, draftId } = await openShop(prisma)
    const wanted = await countMapped(prisma)
    done('2 sellers with 4 products (one a draft) and their images in nested writes, 4 messages')

    heading('3  What has arrived at SafetyKit')
    await arrives('Every mapped row', () => allArrived(stage, wanted))
    await showArrived(stage, wanted)

    heading('4  A row is updated')
    await update(stage, prisma, { lampId, draftId }, arrives)

    heading('5  The side tables, as you would query them')
    await arrives('A receipt of every object', () => allRecorded(stage, wanted))
    for (const sql of queries(lampId)) {
      code(sql)
      table((await stage.db.query(sql)).rows)
      line()
    }
    done('Every object is recorded under the request that SafetyKit has it from')

    heading('6  What SafetyKit makes of a row comes back')
    await evaluate(stage, prisma, draftId, arrives)
  } finally {
    await prisma.$disconnect()
  }
}

async function showArrived({ emulator }: DemoStage, wanted: ReadonlyMap<string, number>): Promise<void> {
  const rows = []
  for (const namespace of wanted.keys()) {
    for (const { id, requestId, data } of (await emulator.objects(namespace)).values()) {
      const { id: _, ...content } = data
      const text = JSON.stringify(content)
      rows.push({
        namespace,
        id: id.length > 8 ? `${id.slice(0, 8)}…` : id,
        request: requestId,
        content: text.length > 58 ? `${text.slice(0, 57)}…` : text,
      })
    }
  }
  table(rows)
  done('The draft is not among them, as the mapping says')
}

async function update(
  stage: DemoStage,
  prisma: PrismaClient,
  { lampId, draftId }: { readonly lampId: string; readonly draftId: string },
  arrives: <T>(what: string, look: () => Promise<T | undefined>) => Promise<T>,
): Promise<void> {
  const before = await stage.emulator.object('products', lampId)
  code(`await prisma.product.update({ where: { id }, data: { viewCount: { increment: 1 } } })`)
  await prisma.product.update({ where: { id: lampId }, data: { viewCount: { increment: 1 } } })
  code(`await prisma.product.update({ where: { id }, data: { title: 'Brass desk lamp, sold with a bulb' } })`)
  await prisma.product.update({ where: { id: lampId }, data: { title: 'Brass desk lamp, sold with a bulb' } })
  code(`await prisma.product.update({ where: { id: draft }, data: { status: 'ACTIVE' } })`)
  await prisma.product.update({ where: { id: draftId }, data: { status: 'ACTIVE' } })

  const after = await arrives('The new title', async () => {
    const object = await stage.emulator.object('products', lampId)
    return object?.data.title === before?.data.title ? undefined : object
  })
  await arrives('The draft', () => stage.emulator.object('products', draftId))
  table([
    { '': 'before', request: before?.requestId, title: before?.data.title },
    { '': 'after', request: after.requestId, title: after.data.title },
  ])
  const versions = (await stage.emulator.history('products', lampId)).length
  if (versions !== 2) throw new Error(`SafetyKit was sent ${versions} versions of the lamp, not 2`)
  done(`Two requests for the lamp: its view counter is not mapped, so that update cost nothing ${dim('(viewCount)')}`)
  done('The draft was published, and has arrived')
}

async function evaluate(
  { db }: DemoStage,
  prisma: PrismaClient,
  id: string,
  arrives: <T>(what: string, look: () => Promise<T | undefined>) => Promise<T>,
): Promise<void> {
  code(`await prisma.product.update({ where: { id }, data: { title: 'Pedals, counterfeit' } })`)
  await prisma.product.update({ where: { id }, data: { title: 'Pedals, counterfeit' } })
  const sql = `SELECT p.title, o.status, o.output->'labels'->0->>'label' AS label, o.output->'actions'->>0 AS action
FROM "Product" p JOIN safetykit.objects o ON o.namespace = 'products' AND o.object_id = p.id::text
WHERE o.output->'labels' @> '[{"label": "counterfeit"}]'`
  const rows = await arrives('The evaluation', async () => {
    const found = await db.query(sql)
    return found.rows.length === 0 ? undefined : found.rows
  })
  code(sql)
  table(rows)
  done('The emulator labels what it finds in the text; SafetyKit does it in earnest')
}

async function allArrived({ emulator }: DemoStage, wanted: ReadonlyMap<string, number>): Promise<true | undefined> {
  for (const [namespace, count] of wanted) {
    if ((await emulator.objects(namespace)).size < count) return undefined
  }
  return true
}

/** The ledger is written after the answer, so it may be a moment behind the API. */
async function allRecorded(
  { emulator, db }: DemoStage,
  wanted: ReadonlyMap<string, number>,
): Promise<true | undefined> {
  const { rows } = await db.query('SELECT namespace, object_id, request_id FROM safetykit.objects')
  const recorded = new Map(rows.map((row) => [`${row.namespace} ${row.object_id}`, row.request_id]))
  for (const namespace of wanted.keys()) {
    for (const { id, requestId } of (await emulator.objects(namespace)).values()) {
      if (recorded.get(`${namespace} ${id}`) !== requestId) return undefined
    }
  }
  return true
}

const queries = (lampId: string): string[] => [
  `SELECT p.title, o.state, o.request_id, o.accepted_at
FROM "Product" p LEFT JOIN safetykit.objects o ON o.namespace = 'products' AND o.object_id = p.id::text
ORDER BY o.accepted_at`,
  `SELECT s.submitted_at, s.request_id, r.object_count
FROM safetykit.submissions s JOIN safetykit.requests r USING (request_id)
WHERE s.namespace = 'products' AND s.object_id = '${lampId}'
ORDER BY s.submitted_at`,
  `SELECT request_id, namespace, kind, object_count, status FROM safetykit.requests ORDER BY created_at`,
]

async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { stage, signal }: { readonly stage: DemoStage; readonly signal: AbortSignal },
): Promise<T> {
  const deadline = Date.now() + deadlineMs
  let ended = false
  void stage.sidecar.exited.then(() => {
    ended = true
  })
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    signal.throwIfAborted()
    if (ended) throw new Error(`${what} did not arrive: the sidecar has ended. It said:\n${stage.sidecar.stdout()}`)
    if (Date.now() > deadline) {
      throw new Error(
        `${what} did not arrive within ${deadlineMs / 1_000} s. The sidecar said:\n${stage.sidecar.stdout()}`,
      )
    }
    await sleep(50, undefined, { signal })
  }
}
