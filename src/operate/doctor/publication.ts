import type { ClientBase } from 'pg'
import { escapeIdentifier, escapeLiteral } from 'pg'
import { checkPublication } from '../../capture/replication/publication.js'
import { readIdentities } from '../../capture/replication/publication-catalog.js'
import { captureMistakes } from '../../mapping/fitness.js'
import { plainName, sqlName } from '../../mapping/table-name.js'
import { wantedPublication } from '../../pipeline/migrate.js'
import { mistakeFailure } from './failures.js'
import { type Check, failure, migrateStep, ok, type Step, type Verdict, warning } from './finding.js'
import type { ServerGiven } from './server.js'
import type { Tables } from './tables.js'

/** The tables of a server that is asked for replication. */
export type PublishedGiven = Tables & ServerGiven

const listsFrom = 150_000

export const tablesInWalCheck: Check<PublishedGiven> = {
  check: 'replica-identity',
  why: 'Unlogged tables are not in the WAL, and without a replica identity that holds the key nobody knows which row was changed or deleted.',
  look: async ({ bound }) => {
    const mistakes = bound.flatMap(({ table, mappings }) => captureMistakes(table, mappings))
    return mistakes.length > 0 ? mistakes.map(mistakeFailure) : ok('every table is in the WAL with its key')
  },
}

export const everyVersionCheck: Check<PublishedGiven> = {
  check: 'every-version',
  why: 'The WAL leaves out large values that an update did not change; what is read instead is the newest version.',
  look: async ({ client, bound }) => {
    const every = bound.filter(({ mappings }) => mappings.some(({ deliver }) => deliver === 'every'))
    if (every.length === 0) return ok("no mapping has deliver: 'every'")
    const verdicts: Verdict[] = []
    // One after the other: a connection takes one query at a time.
    for (const { source, table, mappings } of every) {
      const columns = mappings.flatMap(({ deliver, fields }) =>
        deliver === 'every' ? fields.map(({ column }) => column) : [],
      )
      const { rows } = await client.query<{ names: string[] }>(
        `SELECT ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
                       WHERE attrelid = $1::oid AND attname = ANY ($2::text[]) AND attlen = -1 AND attstorage <> 'p') AS names`,
        [table.oid, columns],
      )
      const names = rows[0]?.names ?? []
      const stores = table.kind === 'partitioned table' ? table.partitions : [table]
      if (names.length === 0 || stores.every(({ replicaIdentity }) => replicaIdentity === 'full')) continue
      const fix = [table, ...stores.filter((store) => store !== table)].map(
        (one): Step => ({ sql: `ALTER TABLE ${sqlName(one)} REPLICA IDENTITY FULL;` }),
      )
      verdicts.push(warning(`large values of ${names.join(', ')} are not in every change of ${source}`, fix, source))
    }
    return verdicts.length > 0 ? verdicts : ok('every version is whole in the WAL')
  },
}

export const publicationCheck: Check<PublishedGiven> = {
  check: 'publication',
  why: 'What is not published never arrives.',
  look: async ({ client, resolved, bound, state }) => {
    const { columns, name } = resolved.publication
    if (columns === 'mapped' && state.versionNum < listsFrom) {
      return failure('lists of columns need PostgreSQL 15', [{ do: "Set publication.columns to 'all'." }])
    }
    const findings = await checkPublication(client, wantedPublication(resolved, bound))
    // What is wrong with the tables themselves is told above.
    const unfit = findings.filter(({ code }) => code === 'PUBLICATION_UNFIT')
    if (unfit.length === 0) return ok(`"${name}" publishes what is mapped`)
    if (await isMissing(client, name)) return missing(resolved, state.slot)
    return unfit.map(({ message, sql }) =>
      failure(message, [
        ...(sql === null ? [] : [{ sql }]),
        { do: 'Then let what was not published in between be found:' },
        { run: 'safetykit-sync backfill' },
      ]),
    )
  },
}

async function isMissing(client: ClientBase, name: string): Promise<boolean> {
  const { rows } = await client.query('SELECT FROM pg_catalog.pg_publication WHERE pubname = $1', [name])
  return rows.length === 0
}

/** A slot that is older than its publication cannot be read up to PostgreSQL 17, and skips rows after. */
function missing(
  { publication, slot }: PublishedGiven['resolved'],
  state: PublishedGiven['state']['slot'],
): readonly Verdict[] {
  const drop: Step = { sql: `SELECT pg_drop_replication_slot(${escapeLiteral(slot.name)});` }
  const stop: Step = { do: 'Stop the sidecar.' }
  const before = state === 'missing' ? [] : state === 'active' ? [stop, drop] : [drop]
  return [failure(`the publication "${publication.name}" does not exist`, [...before, migrateStep])]
}

export const publicationRightsCheck: Check<PublishedGiven> = {
  check: 'ownership',
  why: 'Only the owner of a table may publish it; "safetykit-sync migrate" does.',
  look: async ({ client, resolved, bound, state }) => {
    const wanted = wantedPublication(resolved, bound)
    const { role, versionNum } = state
    const tables = await readIdentities(client, wanted.tables, versionNum)
    const foreign = tables.filter(({ owned }) => !owned)
    const { rows } = await client.query<{ database: string; create: boolean; owner: string | null; owned: boolean }>(
      `SELECT pg_catalog.current_database() AS database,
              pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS create,
              pg_catalog.pg_get_userbyid(p.pubowner) AS owner, pg_catalog.pg_has_role(p.pubowner, 'USAGE') AS owned
         FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_publication p ON p.pubname = $1`,
      [resolved.publication.name],
    )
    const { database = '', create = true, owner = null, owned = true } = rows[0] ?? {}
    const lacksPublication = owner === null ? !create : !owned
    if (foreign.length === 0 && !lacksPublication) return ok(`the role ${role} owns what it publishes`)
    const changes = await checkPublication(client, wanted)
    if (changes.length === 0)
      return ok(`the role ${role} does not own all of it; migrations are to be run by the owner`)
    const grantee = escapeIdentifier(role)
    const grant = (from: string): Step => ({ sql: `GRANT ${escapeIdentifier(from)} TO ${grantee};` })
    const ofTables = foreign.map((table) =>
      failure(
        `the role ${role} does not own ${plainName(table)} (owner ${table.owner})`,
        [{ do: `Run "safetykit-sync migrate" as ${table.owner}; or:` }, grant(table.owner ?? '')],
        plainName(table),
      ),
    )
    if (!lacksPublication) return ofTables
    const fix =
      owner === null ? { sql: `GRANT CREATE ON DATABASE ${escapeIdentifier(database)} TO ${grantee};` } : grant(owner)
    return [
      ...ofTables,
      failure(`the role ${role} may not change the publication "${resolved.publication.name}"`, [fix]),
    ]
  },
}
