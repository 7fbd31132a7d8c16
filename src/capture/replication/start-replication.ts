import { type Client, escapeIdentifier } from 'pg'

/** What the server says about itself before the stream starts. */
export interface WalSender {
  readonly versionNum: number
  /** `0` is disabled. */
  readonly walSenderTimeoutMs: number
  /** The server's process; what a pooler tells at the login may be another number. */
  readonly pid: number
}

/** Prepares the session and asks for what the timings follow from. Replication connections take simple queries only. */
export async function prepareSession(client: Client, sessionSettings: string): Promise<WalSender> {
  if (sessionSettings !== '') await client.query(sessionSettings)
  const { rows } = await client.query<{ version: string; timeout: string; pid: string }>(
    `SELECT current_setting('server_version_num') AS version, pg_catalog.pg_backend_pid() AS pid,
            (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout') AS timeout`,
  )
  const { version, timeout, pid } = rows[0] ?? {}
  return { versionNum: Number(version), walSenderTimeoutMs: Number(timeout), pid: Number(pid) }
}

/**
 * The command that starts the stream. At `0/0` the server begins at the slot's `confirmed_flush_lsn`, which it knows
 * better than any client.
 */
export function startReplicationSql(slot: string, publication: string, versionNum: number): string {
  const options = [
    `proto_version '1'`,
    // A list of identifiers within a literal. The replication grammar has no E'' and takes a backslash as it is.
    `publication_names '${escapeIdentifier(publication).replaceAll("'", "''")}'`,
    ...(versionNum >= 140_000 ? [`messages 'true'`] : []),
  ]
  return `START_REPLICATION SLOT ${escapeIdentifier(slot)} LOGICAL 0/0 (${options.join(', ')})`
}
