// npm run demo: from a committed row to a request id, on this machine alone. `npm run demo -- --keep` leaves it running.
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { bold, code, failed, heading, line } from './print.js'
import { openStage, type Stage } from './stage.js'
import { tellStory } from './story.js'

const { values: flags } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
const began = performance.now()
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort())
// npm does not hand a SIGTERM on to what it has started: it just is no longer there.
const parent = process.ppid
setInterval(() => process.ppid === parent || interrupted.abort(), 500).unref()
// Whoever read the output has gone, as `head` does.
process.stdout.on('error', () => interrupted.abort())

try {
  heading('1  A database, SafetyKit, and the sidecar between them')
  const stage = await openStage(interrupted.signal)
  try {
    await tellStory(stage, interrupted.signal)
    if (flags.keep) await keep(stage)
    else await stage.stopSidecar()
  } finally {
    await stage.close()
  }
  line(`\nAll of it is stopped and removed, after ${((performance.now() - began) / 1000).toFixed(1)} s.`)
} catch (error) {
  if (interrupted.signal.aborted) {
    line('\nInterrupted; all of it is stopped and removed.')
    process.exitCode = 130
  } else {
    failed(error instanceof Error ? error.message : String(error))
    process.exitCode = 1
  }
}

/** Until Ctrl-C, which is then no failure. */
async function keep({ databaseUrl, emulator, sidecar }: Stage): Promise<void> {
  heading('Everything keeps running')
  line(`  ${bold('Postgres ')}  ${databaseUrl}`)
  line(`  ${bold('SafetyKit')}  ${emulator.url}/emulator/objects/products`)
  line(`  ${bold('Sidecar  ')}  process ${sidecar.pid}`)
  line('\n  How it stands, from the root of the repository:')
  code(`DATABASE_URL=${databaseUrl} \\\n  node dist/cli/main.js status --config examples/demo/safetykit.config.ts`)
  line('\n  Ctrl-C stops and removes all of it.')
  const ended = interrupted.signal.aborted ? undefined : once(interrupted.signal, 'abort')
  await Promise.race([ended, sidecar.exited])
  if (!interrupted.signal.aborted) throw new Error(`The sidecar has ended:\n${sidecar.stdout()}${sidecar.stderr()}`)
}
