import type { ClientBase } from 'pg'
import { findServerProblems, type ServerProblem, type ServerState } from '../../capture/replication/server.js'
import type { ResolvedSync } from '../../config/resolved.js'
import { type Check, failure, ok, type Step, type Verdict, warning } from './finding.js'
import { bytesText, durationText } from './words.js'

/** A database that may be asked for replication. */
export interface ServerGiven {
  readonly client: ClientBase
  readonly resolved: ResolvedSync
  readonly state: ServerState
}

function problemOr(found: string, { state }: ServerGiven, concern: ServerProblem['concern']): Verdict {
  const problem = findServerProblems(state).find((one) => one.concern === concern)
  if (problem === undefined) return ok(found)
  const { message, sql, afterwards } = problem
  return failure(message, afterwards === null ? [{ sql }] : [{ sql }, { do: afterwards }])
}

const shortTimeoutMs = 10_000
const smallKeepBytes = 1024 ** 3
const shortIdleSeconds = 86_400
const reload: Step = { sql: 'SELECT pg_reload_conf();' }
const restart: Step = { do: 'Restart Postgres.' }

export const serverChecks: readonly Check<ServerGiven>[] = [
  {
    check: 'wal-level',
    why: 'With less in the WAL nothing can be decoded.',
    look: async (given) => problemOr(`wal_level is ${given.state.walLevel}`, given, 'wal_level'),
  },
  {
    check: 'replication-role',
    why: 'Only a role with REPLICATION may read the WAL.',
    look: async (given) => problemOr(`the role ${given.state.role} may replicate`, given, 'role'),
  },
  {
    check: 'slots',
    why: 'Without a free one no slot can be made.',
    look: async (given) => {
      const { replicationSlots, maxReplicationSlots } = given.state
      return problemOr(
        `${replicationSlots} of max_replication_slots = ${maxReplicationSlots} are taken`,
        given,
        'slots',
      )
    },
  },
  {
    check: 'wal-senders',
    why: 'Each reader of a slot needs one, and standbys and backups do as well.',
    look: async (given) => {
      const { walSenders, maxWalSenders } = given.state
      const verdict = problemOr(`${walSenders} of max_wal_senders = ${maxWalSenders} are busy`, given, 'senders')
      if (verdict.status === 'failure' || walSenders < maxWalSenders) return verdict
      const more = { sql: `ALTER SYSTEM SET max_wal_senders = ${maxWalSenders + 10};` }
      return warning(`${verdict.found}: a standby of the sidecar cannot take over at once`, [more, restart])
    },
  },
  {
    check: 'wal-sender-timeout',
    why: 'It ends the connection of a sidecar whose machine is gone, so that another one can take over.',
    look: async ({ client }) => {
      const ms = Number(await setting(client, 'wal_sender_timeout'))
      const fix: Step[] = [{ sql: "ALTER SYSTEM SET wal_sender_timeout = '60s';" }, reload]
      if (ms === 0) return warning('wal_sender_timeout is 0: a sidecar that is gone keeps the slot for ever', fix)
      const found = `wal_sender_timeout is ${durationText(ms / 1_000)}`
      return ms < shortTimeoutMs ? warning(`${found}: short pauses of the sidecar end its connection`, fix) : ok(found)
    },
  },
  {
    check: 'max-slot-wal-keep-size',
    why: 'Without a limit a sidecar that is away lets the disk of the database fill; with a small one its slot is soon lost.',
    look: lookAtKeepSize,
  },
  {
    check: 'idle-slot-timeout',
    why: 'The server invalidates a slot that nobody has read for so long, and what was written meanwhile is found by a scan alone.',
    look: async ({ client }) => {
      const seconds = await setting(client, 'idle_replication_slot_timeout')
      if (seconds === null) return ok('this version of PostgreSQL has none')
      if (Number(seconds) === 0) return ok('idle_replication_slot_timeout is off')
      const found = `idle_replication_slot_timeout is ${durationText(Number(seconds))}`
      if (Number(seconds) >= shortIdleSeconds) return ok(found)
      return warning(found, [{ sql: "ALTER SYSTEM SET idle_replication_slot_timeout = '3d';" }, reload])
    },
  },
]

async function lookAtKeepSize({ client, resolved }: ServerGiven): Promise<Verdict> {
  const mebibytes = Number(await setting(client, 'max_slot_wal_keep_size'))
  const bytes = mebibytes * 1024 ** 2
  const { lagBytes } = resolved.spill
  const enough = Math.ceil(Math.max(50 * 1024 ** 3, 4 * lagBytes) / 1024 ** 3)
  const fix: Step[] = [
    { do: 'Choose what the disk can spare; a reload is enough:' },
    { sql: `ALTER SYSTEM SET max_slot_wal_keep_size = '${enough}GB';` },
    reload,
  ]
  if (mebibytes < 0) return warning('max_slot_wal_keep_size is unlimited', fix)
  const found = `max_slot_wal_keep_size is ${bytesText(bytes)}`
  return bytes < Math.max(smallKeepBytes, 2 * lagBytes)
    ? warning(`${found}; the sidecar spills from ${bytesText(Math.min(lagBytes, bytes / 2))} on`, fix)
    : ok(found)
}

/** Times in milliseconds for `wal_sender_timeout`, seconds for idle slots; `null` where this version has no such setting. */
async function setting(client: ClientBase, name: string): Promise<string | null> {
  const { rows } = await client.query<{ setting: string }>(
    `SELECT CASE unit WHEN 'min' THEN (setting::bigint * 60)::text ELSE setting END AS setting
       FROM pg_catalog.pg_settings WHERE name = $1`,
    [name],
  )
  return rows[0]?.setting ?? null
}
