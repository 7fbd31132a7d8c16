import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import type { FaultAction } from '../../src/emulator/index.js'
import { soon } from '../support/soon.js'
import { backfillRig, products } from './rig.js'

/** A run that failed is repeated with `SEED=… npx vitest run test/backfill/at-random.test.ts`. */
const seeds =
  process.env.SEED === undefined
    ? Array.from({ length: Number(process.env.SEEDS ?? 4) }, () => Math.floor(Math.random() * 2 ** 31))
    : [Number(process.env.SEED)]

function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return Math.floor((state / 0x80000000) * below)
  }
}

test.concurrent.each(
  seeds,
)('whatever is written, held, refused and stopped beside it, SafetyKit has the latest state of each row (seed %i)', async (seed) => {
  const random = randomFrom(seed)
  const ends: (() => Promise<void>)[] = []
  const hidden = { ...products.tables['public.products'], where: (row: { hidden?: unknown }) => row.hidden !== true }
  const capture = seed % 3 === 0 ? 'replication' : 'trigger'
  const rig = await backfillRig({
    sql: products.sql(60),
    tables: { 'public.products': hidden },
    settings: { capture, delivery: { requestTimeoutMs: 1_000 } },
    emulator: { processingMs: 5, importProcessingMs: random(2) * 300 },
    onTestFinished: (end) => ends.push(end),
  })
  const { emulator } = rig
  try {
    const sidecar = await rig.start()
    let stop = new AbortController()
    let backfill: Promise<unknown> = Promise.resolve()
    let under = 0
    const begin = () => {
      stop = new AbortController()
      under += 1
      const asked = [{}, {}, {}, { where: 'id % 2 = 0' }, { force: true }, { limit: 15 }][random(6)]
      backfill = rig
        .backfill(
          { ...asked, signal: stop.signal },
          random(4) === 0 ? { settings: { import: { maxPartObjects: 7 } } } : {},
        )
        .catch(() => {})
        .finally(() => {
          under -= 1
        })
    }
    const id = () => 1 + random(65)
    const oneOf = (actions: readonly FaultAction[]): FaultAction => actions[random(actions.length)] ?? { status: 500 }
    const steps: (() => unknown)[] = [
      () => rig.write("UPDATE products SET title = 'Table ' || $2 WHERE id = $1", [id(), random(3)]),
      () => rig.write("UPDATE products SET title = 'Chair ' || id WHERE id = $1", [id()]),
      () => rig.write('UPDATE products SET hidden = NOT hidden WHERE id = $1', [id()]),
      () => rig.write('DELETE FROM products WHERE id = $1', [id()]),
      () =>
        rig.write("INSERT INTO products VALUES ($1, 'Stool') ON CONFLICT (id) DO UPDATE SET title = 'Stool'", [id()]),
      () => emulator.imports.hold(),
      () => void emulator.imports.release(),
      () =>
        emulator.faults.add({
          when: { path: 'upload', times: 1 },
          do: oneOf([
            { status: 403 },
            { resetAfterAccept: true },
            { hangAfterAccept: true },
            { reset: true },
            { reject: 400, message: 'no' },
            { latencyMs: 200 },
          ]),
        }),
      () =>
        emulator.faults.add({
          when: { path: 'add', times: 1 },
          do: oneOf([{ status: 503 }, { resetAfterAccept: true }, { hangAfterAccept: true }, { latencyMs: 300 }]),
        }),
      () => stop.abort(),
      () => (under === 0 ? begin() : stop.abort()),
      () => (under === 0 ? begin() : undefined),
      () => (under === 0 ? begin() : undefined),
      () => sleep(random(200)),
      () => sleep(random(50)),
    ]
    for (let step = 0; step < 90; step += 1) {
      await steps[random(steps.length)]?.()
      await sleep(random(30))
    }
    stop.abort()
    await backfill
    emulator.faults.clear()
    await rig.backfill()
    emulator.imports.release()
    const expected = { products: `${products.expected.products} WHERE NOT hidden` }
    await soon(() => rig.inStep(expected), 20_000)
    await rig.stop(sidecar)
  } finally {
    for (const end of ends) await end()
  }
})
