import { escapeIdentifier, escapeLiteral } from 'pg'
import { inspectSlot, type SlotState, slotProblem } from '../../capture/replication/slot.js'
import { type Check, failure, migrateStep, ok, type Step, type Verdict, warning } from './finding.js'
import type { ServerGiven } from './server.js'
import { currentDatabase } from './triggers.js'
import { bytesText, durationText } from './words.js'

const failoverFrom = 170_000
/** The application name of this package's connections. */
const ownName = 'safetykit-sync'
/** Longer than a busy moment, shorter than what anyone would want to wait for. */
const longLagSeconds = 300

const sql = (text: string): Step => ({ sql: text })

export const slotChecks: readonly Check<ServerGiven>[] = [
  {
    check: 'slot',
    why: 'It remembers how far the WAL was read; what was written while there is none is found by a scan alone.',
    look: async ({ client, resolved }) => {
      const { name } = resolved.slot
      const slot = await inspectSlot(client, name)
      const problem = slotProblem(name, slot, await currentDatabase(client))
      if (problem === null || slot === null || problem.code === 'SLOT_IN_USE') {
        return slot === null ? failure(`the slot "${name}" does not exist`, [migrateStep]) : healthOf(slot)
      }
      if (problem.code === 'SLOT_LOST') {
        return failure(problem.message, [sql(`SELECT pg_drop_replication_slot(${escapeLiteral(name)});`), migrateStep])
      }
      return failure(problem.message, [{ do: 'Choose another name for the slot (slot.name).' }, migrateStep])
    },
  },
  {
    check: 'slot-reader',
    why: 'One sidecar reads the slot; while nobody does, nothing is delivered and WAL piles up.',
    look: lookAtReader,
  },
  {
    check: 'failover',
    why: 'A slot that standbys do not know is lost when one of them takes over.',
    look: lookAtFailover,
  },
]

function healthOf({ name, walStatus, retainedBytes, safeWalSizeBytes }: SlotState): Verdict {
  const kept = `${bytesText(retainedBytes ?? 0)} of WAL are kept for it`
  const limit = safeWalSizeBytes === null ? '' : `, it is lost after ${bytesText(Math.max(0, safeWalSizeBytes))} more`
  const found = `"${name}": wal_status ${walStatus ?? 'unknown'}, ${kept}${limit}`
  if (walStatus !== 'unreserved') return ok(found)
  return failure(`${found}; it is about to be lost`, [
    { do: 'Raise max_slot_wal_keep_size, and see that a sidecar reads it:' },
    sql(`ALTER SYSTEM SET max_slot_wal_keep_size = -1;`),
    sql('SELECT pg_reload_conf();'),
  ])
}

async function lookAtReader({ client, resolved }: ServerGiven): Promise<Verdict> {
  const slot = await inspectSlot(client, resolved.slot.name)
  if (slot === null) return ok('there is no slot to read')
  const behind = `${bytesText(slot.lagBytes ?? 0)} behind`
  const run: Step = { run: 'safetykit-sync run' }
  if (!slot.active) return warning(`nobody reads it, ${behind}`, [run])
  const { rows } = await client.query<{ name: string | null; seconds: number | null }>(
    `SELECT a.application_name AS name,
            extract(epoch FROM s.replay_lag + (clock_timestamp() - s.reply_time))::float8 AS seconds
       FROM pg_catalog.pg_stat_activity a LEFT JOIN pg_catalog.pg_stat_replication s ON s.pid = a.pid WHERE a.pid = $1`,
    [slot.activePid],
  )
  const { name = null, seconds = null } = rows[0] ?? {}
  const reader = `the process ${slot.activePid} (${name || 'without a name'}) reads it`
  if (name !== ownName) {
    return warning(`${reader}, which is not a sidecar of this package`, [
      { do: 'Give each reader a slot of its own (slot.name); or, where nobody needs that one:' },
      sql(`SELECT pg_terminate_backend(${slot.activePid});`),
    ])
  }
  const lag = seconds === null ? behind : `${behind}, ${durationText(Math.max(0, seconds))} ago`
  const isFar = (slot.lagBytes ?? 0) > resolved.spill.lagBytes || (seconds ?? 0) > longLagSeconds
  return isFar
    ? warning(`${reader}, ${lag}`, [
        { do: 'See "safetykit-sync status" and the log of the sidecar: what keeps it from delivering.' },
      ])
    : ok(`${reader}, ${lag}`)
}

async function lookAtFailover({ client, resolved, state }: ServerGiven): Promise<Verdict> {
  if (state.versionNum < failoverFrom) {
    return ok(
      'before PostgreSQL 17 no slot survives a failover: a new one is made then, and a scan finds what was missed',
    )
  }
  const { name } = resolved.slot
  const { rows } = await client.query<{ failover: boolean | null; standbys: number }>(
    `SELECT (SELECT (pg_catalog.to_jsonb(s)->>'failover')::boolean FROM pg_catalog.pg_replication_slots s
              WHERE s.slot_name = $1) AS failover,
            ((SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical')
           + (SELECT count(*) FROM pg_catalog.pg_stat_replication r
               WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid)))::int AS standbys`,
    [name],
  )
  const { failover = null, standbys = 0 } = rows[0] ?? {}
  if (failover === null) return ok('there is no slot yet; it is made with failover = true')
  if (failover) return ok('the slot has failover = true')
  if (standbys === 0) return ok('the slot has failover = false, and there is no standby')
  const command = `ALTER_REPLICATION_SLOT ${escapeIdentifier(name)} (FAILOVER true);`
  return warning(`there is a standby, and the slot has failover = false`, [
    { do: 'Stop the sidecar; then, over a replication connection:' },
    { run: `psql "$DATABASE_URL?replication=database" -c '${command}'` },
    {
      do: 'On the standby: sync_replication_slots = on, hot_standby_feedback = on, primary_slot_name, and a dbname in primary_conninfo.',
    },
  ])
}
