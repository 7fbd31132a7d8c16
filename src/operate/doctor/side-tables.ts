import { escapeIdentifier } from 'pg'
import type { ResolvedSync } from '../../config/resolved.js'
import { isSyncError } from '../../errors.js'
import { checkLedger, ledgerVersion } from '../../ledger/migrate.js'
import type { Learnt } from './examination.js'
import { failuresOf } from './failures.js'
import { type Check, failure, ok, type Step, type Verdict, warning } from './finding.js'
import type { LedgerGiven, LedgerPlace } from './rights.js'
import { durationText } from './words.js'

export const sideTablesCheck = {
  check: 'side-tables',
  why: 'They hold what SafetyKit has accepted and what waits; another version of them cannot be worked with.',
}

export async function findSideTables({ client, resolved }: LedgerPlace): Promise<Learnt<LedgerGiven>> {
  try {
    await checkLedger(client, resolved.schema)
    const verdicts = ok(`in the schema ${resolved.schema}, version ${ledgerVersion}`)
    return { verdicts, value: { client, resolved, current: true } }
  } catch (error) {
    if (!isSyncError(error)) throw error
    return { verdicts: failuresOf(error), value: { client, resolved, current: false } }
  }
}

/** Between two heartbeats are 15 s by default. */
const silentBeats = 4
const minSilentMs = 60_000

export const workChecks: readonly Check<LedgerGiven>[] = [
  {
    check: 'leases',
    why: 'Workers share the keys that wait by leases; those of a process that died are taken over once they end.',
    look: async ({ client, resolved }) => {
      const schema = escapeIdentifier(resolved.schema)
      const { rows } = await client.query<{ held: number; ended: number; workers: number; waiting: boolean }>(
        `SELECT count(*) FILTER (WHERE holder IS NOT NULL AND expires_at > clock_timestamp())::int AS held,
                count(*) FILTER (WHERE holder IS NOT NULL AND expires_at <= clock_timestamp())::int AS ended,
                count(*) FILTER (WHERE name LIKE 'worker %' AND expires_at > clock_timestamp())::int AS workers,
                EXISTS (SELECT FROM ${schema}.dirty) AS waiting
           FROM ${schema}.leases`,
      )
      const { held = 0, ended = 0, workers = 0, waiting = false } = rows[0] ?? {}
      const found = `${held} held, ${workers} ${workers === 1 ? 'worker is' : 'workers are'} busy`
      if (ended === 0 || !waiting) return ok(found)
      return warning(`${found}; ${ended} of a process that ended without giving them back, and keys wait`, [
        { do: 'Nothing, where another process delivers: it takes them over. Else:' },
        ...starting(resolved),
      ])
    },
  },
  {
    check: 'processes',
    why: 'A process that delivers is heard of every few seconds; while there is none, changes wait.',
    look: lookAtProcesses,
  },
]

const starting = ({ deliver }: ResolvedSync): readonly Step[] =>
  deliver === 'inline' ? [{ do: 'Start the application.' }] : [{ run: 'safetykit-sync run' }]

interface Beat {
  readonly process: string
  readonly state: string
  /** Since it was last heard of, by the database's clock. */
  readonly silent: number
  readonly since: number
}

async function lookAtProcesses({ client, resolved }: LedgerGiven): Promise<readonly Verdict[]> {
  const { rows } = await client.query<Beat>(
    `SELECT process::text, state, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS silent,
            extract(epoch FROM clock_timestamp() - since)::float8 AS since
       FROM ${escapeIdentifier(resolved.schema)}.heartbeats
      ORDER BY beat_at DESC LIMIT 20`,
  )
  const limit = Math.max(minSilentMs, silentBeats * (resolved.heartbeat.everyMs ?? 0)) / 1_000
  if (rows.length === 0) return [ok('none was heard of so far')]
  const running = rows.filter(({ state }) => state !== 'stopped')
  const verdicts = running.map((beat) => verdictOf(beat, limit))
  if (running.some(({ silent }) => silent <= limit)) return verdicts
  return [...verdicts, warning('no process delivers', starting(resolved))]
}

function verdictOf({ process, state, silent, since }: Beat, limit: number): Verdict {
  const name = `the process ${process}`
  if (silent > limit) {
    const found = `${name} was not heard of for ${durationText(silent)}, and has not said that it stopped (${state})`
    return warning(found, [
      { do: 'Where it is meant to run: see its log, and start it again. Where it is gone for good:' },
      { run: 'safetykit-sync prune' },
    ])
  }
  const found = `${name} is ${state} for ${durationText(Math.max(0, since))}`
  const fix = [{ do: 'See its log, and /readyz.' }]
  if (state === 'stalled') return failure(`${found}: the slot brings nothing`, fix)
  return state === 'spilling' ? warning(`${found}: the API does not take what changes`, fix) : ok(found)
}
