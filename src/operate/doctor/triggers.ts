import type { ClientBase } from 'pg'
import { escapeIdentifier, escapeLiteral } from 'pg'
import { inspectSlot } from '../../capture/replication/slot.js'
import { checkTriggers, type TriggerFinding } from '../../capture/triggers/check.js'
import { readInstalled } from '../../capture/triggers/installed.js'
import { plainName } from '../../mapping/table-name.js'
import { wantedCapture } from '../../pipeline/triggers.js'
import { type Check, failure, migrateStep, ok, warning } from './finding.js'
import type { Tables } from './tables.js'
import { bytesText } from './words.js'

export const triggersCheck: Check<Tables> = {
  check: 'triggers',
  why: 'A write that no trigger sees is sent only when a scan finds it.',
  look: async (tables) => {
    const findings = await unfitTriggers(tables)
    if (findings.length === 0) return ok(`as the mapping needs them, on ${tables.bound.length} tables`)
    return findings.map(({ source, message }) => failure(message, [migrateStep], source))
  },
}

export const triggerOwnershipCheck: Check<Tables> = {
  check: 'ownership',
  why: 'Only the owner of a table may change its triggers; "safetykit-sync migrate" does.',
  look: async (tables) => {
    const { client, resolved, bound } = tables
    const { role, tables: installed } = await readInstalled(client, wantedCapture(resolved.schema, bound))
    const foreign = installed.filter(({ owned }) => !owned)
    if (foreign.length === 0) return ok(`the role ${role} owns the mapped tables`)
    const unfit = new Set((await unfitTriggers(tables)).map(({ source }) => source))
    const needed = foreign.filter((table) => unfit.has(plainName(table)))
    if (needed.length === 0) {
      const owners = [...new Set(foreign.map(({ owner }) => owner))].join(', ')
      return ok(`the role ${role} does not own all of them; migrations are to be run by ${owners}`)
    }
    return needed.map((table) =>
      failure(
        `the role ${role} does not own ${plainName(table)} (owner ${table.owner})`,
        [
          { do: `Run "safetykit-sync migrate" as ${table.owner}; or:` },
          { sql: `GRANT ${escapeIdentifier(table.owner)} TO ${escapeIdentifier(role)};` },
        ],
        plainName(table),
      ),
    )
  },
}

/** A mapped table that does not fit is told of already, and its triggers are not superfluous for that. */
async function unfitTriggers({ client, resolved, bound, catalog }: Tables): Promise<readonly TriggerFinding[]> {
  const findings = await checkTriggers(client, wantedCapture(resolved.schema, bound))
  const mapped = resolved.mappings.map(({ table }) =>
    plainName({ schema: table.schema ?? catalog.defaultSchema, name: table.name }),
  )
  const fitting = bound.map(({ source }) => source)
  return findings.filter(({ source }) => fitting.includes(source) || !mapped.includes(source))
}

export const leftoverSlotCheck: Check<Tables> = {
  check: 'leftover-slot',
  why: 'The server keeps WAL for a slot that nobody reads, until its disk is full.',
  look: async ({ client, resolved }) => {
    const slot = await inspectSlot(client, resolved.slot.name)
    if (slot === null || slot.plugin !== 'pgoutput' || slot.database !== (await currentDatabase(client))) {
      return ok('none is left of an earlier capture by replication')
    }
    const [name, publication] = [escapeLiteral(slot.name), escapeIdentifier(resolved.publication.name)]
    return warning(
      `the slot "${slot.name}" of an earlier capture by replication is still there, and keeps ${bytesText(slot.retainedBytes ?? 0)}`,
      [
        { do: 'Where no sidecar needs it any more:' },
        { sql: `SELECT pg_drop_replication_slot(${name});` },
        { sql: `DROP PUBLICATION IF EXISTS ${publication};` },
      ],
    )
  },
}

export async function currentDatabase(client: ClientBase): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
  return rows[0]?.name ?? ''
}
