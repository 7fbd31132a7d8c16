import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { disorder, lost, waiting } from './check.js'
import { leftOut, newestVersion } from './every.js'
import { type Drawn, drawFaults } from './faults.js'
import { Figures } from './figures.js'
import { type Random, randomFrom } from './random.js'
import { lagBytes, openStage, type Stage } from './stage.js'
import { startLoad } from './workload.js'

/** Printed with every failure: with it the same faults come at the same moments. */
export const seed = Number(process.env.SEED)
/** Of both kinds of capture together. */
export const faults = Number(process.env.FAULTS)

const mostARound = 12
const roundMs = 15_000
/** In the longest runs, what lasts takes as long as half a minute. */
const long = faults >= 200
const longestMs = long ? 30_000 : 6_000
/** What a busy machine needs to come back in step. */
const deadlineMs = 180_000
/** Resident, of one sidecar. The benchmark's bar is 256; here Node's own growth under many errors is in it. */
const mostMb = 400

/** Draws faults in rounds; after each round all is healed, and all has to be as it should. */
export async function run(capture: Stage['capture'], total: number): Promise<void> {
  const random = randomFrom(seed + (capture === 'trigger' ? 1 : 0))
  const story: string[] = []
  const began = performance.now()
  const tell = (line: string): void => {
    story.push(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${line}`)
  }
  const stage = await openStage(capture)
  const deck = drawFaults(random, { capture, long })
  const figures = new Figures()
  let failed = true
  try {
    console.log(`SEED=${seed} FAULTS=${faults}: ${total} faults with capture by ${capture}`)
    for (let done = 0; done < total; ) {
      // As many in each round, as far as that goes.
      const count = Math.ceil((total - done) / Math.ceil((total - done) / mostARound))
      const told = await round(stage, { deck, random, count, tell, figures })
      done += count
      console.log(`${capture}: ${done} of ${total} faults; ${told}`)
    }
    const endings = await Promise.all(stage.places.map(({ sidecar }) => sidecar.end()))
    // One that has just been started again dies of the signal: it does not listen to it yet.
    for (const { code, signal, words } of endings) {
      expect([0, 'SIGTERM'], `it ended with ${signal ?? code}: ${words}`).toContain(signal ?? code)
    }
    failed = false
    console.log(`${capture}, SEED=${seed}: ${figures.text(stage.emulator.stats)}`)
  } finally {
    if (failed) {
      console.error(`SEED=${seed} FAULTS=${faults}, capture by ${capture}:\n${story.join('\n')}`)
      for (const [index, { sidecar }] of stage.places.entries()) {
        const lines = sidecar.command.stdout().split('\n').slice(-60)
        console.error(`sidecar ${index}, its last lines:\n${lines.join('\n')}\n${sidecar.command.stderr()}`)
      }
    }
    await stage.close()
  }
}

interface Round {
  readonly deck: Iterator<Drawn, never>
  readonly random: Random
  readonly count: number
  readonly tell: (line: string) => void
  readonly figures: Figures
}

async function round(stage: Stage, { deck, random, count, tell, figures }: Round): Promise<string> {
  const { capture, told } = stage
  const newestBefore = await newestVersion(stage)
  const toldBefore = { ...told }
  stage.slotTaken = false
  const load = startLoad(stage.server.url(), random.fork())
  const watch = watchSlot(stage)
  const drawn = Array.from({ length: count }, () => ({
    atMs: random.between(0, roundMs),
    forMs: random.chance(0.1) ? random.between(0, longestMs) : random.between(0, 4_000),
    fault: deck.next().value,
  }))
  await Promise.all(
    drawn.map(async ({ atMs, forMs: drawnMs, fault }) => {
      const forMs = fault.forMs ?? drawnMs
      await sleep(atMs)
      figures.struck(fault.kind)
      tell(`${fault.name}, for ${forMs} ms`)
      await fault.strike(stage, () => sleep(forMs))
      tell(`  over: ${fault.name}`)
    }),
  )
  await load.stop()
  const healed = performance.now()
  tell(`healed after ${load.commits} transactions`)
  await inStep(stage)
  const seconds = (performance.now() - healed) / 1000
  tell(`in step after ${seconds.toFixed(1)} s`)
  const { peakBytes, bytes } = await watch.stop()
  const unordered = disorder(stage)
  const wrong = await lost(stage)
  const slotLost = told.slotLost > toldBefore.slotLost
  const everyVersion =
    capture === 'replication' && !slotLost && !stage.slotTaken && told.versionsLeftOut === toldBefore.versionsLeftOut
  const died = stage.places.flatMap(({ sidecar }) => sidecar.endings.splice(0).filter(isWrong))
  expect({
    lost: wrong.slice(0, 20),
    unordered: unordered.slice(0, 20),
    leftOut: everyVersion ? (await leftOut(stage, newestBefore)).slice(0, 20) : [],
    violations: stage.emulator.violations,
    falseAlarm: slotLost && !stage.slotTaken,
    died,
  }).toEqual({ lost: [], unordered: [], leftOut: [], violations: [], falseAlarm: false, died: [] })
  const peakMb = Math.max(...stage.places.map(({ sidecar }) => sidecar.peakMb))
  expect(peakMb).toBeLessThan(mostMb)
  expect(bytes, 'WAL that the slot holds back, once all is in step').toBeLessThan(lagBytes)
  return figures.round({ transactions: load.commits, inStepS: seconds, everyVersion, peakMb, peakBytes, bytes })
}

/** Until nothing waits any more, and SafetyKit has what the tables have. */
async function inStep(stage: Stage): Promise<void> {
  const [{ lsn } = { lsn: '0/0' }] = await stage.query<{ lsn: string }>(
    'SELECT pg_current_wal_insert_lsn()::text AS lsn',
  )
  const until = performance.now() + deadlineMs
  let waits: string | null = ''
  let wrong: string[] = []
  while (performance.now() < until) {
    waits = await waiting(stage, lsn).catch((error: unknown) => String(error))
    // What was settled, but is not there, is not going to be.
    if (waits === null) {
      wrong = await lost(stage)
      if (wrong.length === 0) return
      await sleep(3_000)
      wrong = await lost(stage)
      break
    }
    await sleep(250)
  }
  expect({ waits, lost: wrong.slice(0, 20), of: wrong.length }).toEqual({ waits: null, lost: [], of: 0 })
}

/** A sidecar may end by a signal of ours, or because nothing can be done without the database or a valid key. */
function isWrong({ code, signal, words }: { code: number | null; signal: string | null; words: string }): boolean {
  if (signal === 'SIGKILL' || code === 0) return false
  return !/DATABASE_UNREACHABLE|API_UNAUTHORIZED/.test(words)
}

/** How much WAL the slot holds back, looked at all the time. */
function watchSlot({ capture, query, slot }: Stage): { stop(): Promise<{ peakBytes: number; bytes: number }> } {
  let stopped = false
  let peakBytes = 0
  let bytes = 0
  const look = async (): Promise<void> => {
    const [row] = await query<{ bytes: string }>(
      'SELECT pg_current_wal_lsn() - confirmed_flush_lsn AS bytes FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    ).catch(() => [])
    if (row === undefined) return
    bytes = Number(row.bytes)
    peakBytes = Math.max(peakBytes, bytes)
  }
  const looking = (async () => {
    while (!stopped && capture === 'replication') {
      await look()
      await sleep(250)
    }
  })()
  return {
    async stop() {
      stopped = true
      await looking
      if (capture === 'replication') await look()
      return { peakBytes, bytes }
    },
  }
}
