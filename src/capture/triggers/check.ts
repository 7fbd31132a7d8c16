import type { ClientBase } from 'pg'
import type { WantedCapture } from './captured-table.js'
import { readInstalled } from './installed.js'
import { keyTextChange, removals, tableChange } from './plan.js'

/** What is installed does not fit the mapping. */
export interface TriggerFinding {
  /** `schema.table`. */
  readonly source: string
  readonly message: string
  /** What mends it. */
  readonly hint: string
}

const hint = 'Run: safetykit-sync migrate'

/**
 * Compares the triggers that are installed with those that the mapping needs. Changes nothing, takes no lock, needs no
 * rights on the tables. A table that was dropped and made anew has lost its triggers, and is told here.
 * @returns one finding a table; empty where all fits.
 */
export async function checkTriggers(client: ClientBase, wanted: WantedCapture): Promise<readonly TriggerFinding[]> {
  const installed = await readInstalled(client, wanted)
  const changes = wanted.tables.map((table) => tableChange(table, wanted, installed))
  const keyText = keyTextChange(wanted, installed) === null ? [] : ['the function key_text does not fit this version']
  return [
    ...changes.flatMap(({ source, problems }) => {
      const all = [...problems, ...keyText]
      return all.length === 0 ? [] : [{ source, message: all.join('; '), hint }]
    }),
    ...removals(wanted, installed).map(({ table }) => ({
      source: table,
      message: `${table} has triggers, but is not mapped: its keys pile up in "dirty"`,
      hint,
    })),
  ]
}

/** Wanted tables, `schema.table`, whose inserts or updates may go by unseen. Changes nothing, takes no lock. */
export async function untriggeredTables(client: ClientBase, wanted: WantedCapture): Promise<readonly string[]> {
  const installed = await readInstalled(client, wanted)
  return wanted.tables
    .map((table) => tableChange(table, wanted, installed))
    .flatMap(({ source, table, gap }) => (gap || table === undefined ? [source] : []))
}
