import type { ClientBase } from 'pg'
import { escapeIdentifier } from 'pg'
import { SyncError } from '../../errors.js'

/** What replication needs of a server, and what is so. */
export interface ServerState {
  readonly versionNum: number
  readonly walLevel: string
  readonly maxReplicationSlots: number
  readonly replicationSlots: number
  readonly maxWalSenders: number
  readonly walSenders: number
  readonly role: string
  readonly mayReplicate: boolean
  /** Managed services that grant replication by membership in a role of their own. */
  readonly grantingRole: string | null
  /** Whether the slot that is asked about is there, and whether someone reads from it. */
  readonly slot: 'missing' | 'free' | 'active'
}

export async function inspectServer(client: ClientBase, slotName: string): Promise<ServerState> {
  const { rows } = await client.query<ServerState>(
    `SELECT current_setting('server_version_num')::int AS "versionNum",
            current_setting('wal_level') AS "walLevel",
            current_setting('max_replication_slots')::int AS "maxReplicationSlots",
            (SELECT count(*)::int FROM pg_catalog.pg_replication_slots) AS "replicationSlots",
            current_setting('max_wal_senders')::int AS "maxWalSenders",
            (SELECT count(*)::int FROM pg_catalog.pg_stat_replication) AS "walSenders",
            role.rolname AS role,
            role.rolsuper OR role.rolreplication
              OR COALESCE(pg_catalog.pg_has_role(role.oid, granting.oid, 'MEMBER'), false) AS "mayReplicate",
            granting.rolname AS "grantingRole",
            COALESCE((SELECT CASE WHEN active THEN 'active' ELSE 'free' END
                        FROM pg_catalog.pg_replication_slots WHERE slot_name = $1), 'missing') AS slot
       FROM pg_catalog.pg_roles AS role
       LEFT JOIN pg_catalog.pg_roles AS granting ON granting.rolname = 'rds_replication'
      WHERE role.rolname = current_user`,
    [slotName],
  )
  const [state] = rows
  if (state === undefined) throw new SyncError('INTERNAL', 'The server does not know the role that asks')
  return state
}

/** One thing that keeps the server from serving, and what mends it. */
export interface ServerProblem {
  readonly concern: 'wal_level' | 'role' | 'slots' | 'senders'
  readonly message: string
  /** To be run by a superuser, or whoever may change the role. */
  readonly sql: string
  /** What is to be done after the SQL, or instead. */
  readonly afterwards: string | null
}

/** All that keeps the server from serving; each with what mends it. Empty: fit. */
export function findServerProblems(state: ServerState): readonly ServerProblem[] {
  const problems: ServerProblem[] = []
  if (state.walLevel !== 'logical') {
    const message = `wal_level is ${state.walLevel}`
    problems.push({ concern: 'wal_level', message, sql: 'ALTER SYSTEM SET wal_level = logical;', afterwards: restart })
  }
  if (!state.mayReplicate) {
    const role = escapeIdentifier(state.role)
    const sql =
      state.grantingRole === null
        ? `ALTER ROLE ${role} REPLICATION;`
        : `GRANT ${escapeIdentifier(state.grantingRole)} TO ${role};`
    problems.push({ concern: 'role', message: `The role ${role} may not replicate`, sql, afterwards: null })
  }
  if (state.slot === 'missing' && state.replicationSlots >= state.maxReplicationSlots) {
    problems.push({
      concern: 'slots',
      message: `All ${state.maxReplicationSlots} replication slots are taken`,
      sql: `ALTER SYSTEM SET max_replication_slots = ${state.maxReplicationSlots + 10};`,
      afterwards: `${restart} Or drop a slot that nobody reads (SELECT slot_name FROM pg_replication_slots WHERE NOT active;).`,
    })
  }
  if (state.slot !== 'active' && state.walSenders >= state.maxWalSenders) {
    problems.push({
      concern: 'senders',
      message: `All ${state.maxWalSenders} WAL senders are busy`,
      sql: `ALTER SYSTEM SET max_wal_senders = ${state.maxWalSenders + 10};`,
      afterwards: restart,
    })
  }
  return problems
}

const restart = 'Then restart Postgres.'

/** The same as errors. */
export function serverProblems(state: ServerState): readonly SyncError[] {
  return findServerProblems(state).map(
    ({ message, sql, afterwards }) =>
      new SyncError('DATABASE_UNFIT', message, { hint: afterwards === null ? sql : `${sql} ${afterwards}` }),
  )
}

/** Throws one `DATABASE_UNFIT` that names everything that is wrong. */
export async function checkServer(client: ClientBase, slotName: string): Promise<ServerState> {
  const { rows } = await client.query<{ recovers: boolean }>('SELECT pg_catalog.pg_is_in_recovery() AS recovers')
  if (rows[0]?.recovers === true) {
    throw new SyncError(
      'DATABASE_UNFIT',
      'The server is a standby: it repeats what its primary writes, and takes no writes',
      {
        hint: 'Let DATABASE_URL name the primary, by an address that follows it over a failover (target_session_attrs=read-write).',
      },
    )
  }
  const state = await inspectServer(client, slotName)
  const problems = serverProblems(state)
  if (problems.length > 0) {
    throw new SyncError('DATABASE_UNFIT', problems.map(({ message }) => message).join('; '), {
      hint: problems.map(({ hint }) => hint).join('\n'),
    })
  }
  return state
}
