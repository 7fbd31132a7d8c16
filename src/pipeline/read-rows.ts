import type { RowReader, RowsRead } from '../capture/rows.js'
import { readRows } from '../capture/rows.js'
import type { Content, ReadRows } from '../delivery/ports.js'
import { SyncError } from '../errors.js'
import type { Lsn } from '../lsn.js'
import { compileTable } from '../mapping/mapper.js'
import type { MappingPlan } from '../mapping/mapping-plan.js'
import { keyAsBound } from './row-keys.js'
import type { Source, Sources, Target } from './sources.js'
import { walPosition } from './wal-position.js'

interface RowReading {
  readonly db: Parameters<typeof walPosition>[0] & RowReader
  readonly sources: Sources
}

/** The table is not what the catalogue said: undefined table, column or schema. */
const movedCodes = new Set(['42P01', '42703', '3F000'])

/** Reads rows as they are now and maps them, by the column types that the answer itself names. */
export function rowsReader({ db, sources }: RowReading): ReadRows {
  return async (origin, rows) => {
    for (let attempt = 1; ; attempt += 1) {
      const found = sources.ofOrigin(origin)
      if (found === undefined || found.source.misfit !== null) return rows.map(() => ({ kind: 'unfit' }))
      const { source, target } = found
      const keys = rows.map(({ key }) => keyAsBound(source.bound, key))
      const read = await readUnlessMoved(db, source, keys)
      const plan = read === null ? null : planFor(source, target, read, sources)
      // A migration has been here, or perhaps so: a key that is none of the table's may be one since its key was retyped.
      // If the mapping fits what it left, the read is worth another try; else the keys wait.
      if (attempt === 1 && (plan === null || read?.rows.includes(undefined))) {
        await sources.refresh()
        continue
      }
      if (read === null || plan === null) {
        throw new SyncError('TABLE_UNFIT', `The table ${source.name} changed while it was read`)
      }
      // Asked after the read: everything that the read saw lies before.
      const lsn = await walPosition(db)
      return rows.map(({ id }, index) => contentOf(id, read.rows[index], plan, lsn))
    }
  }
}

function contentOf(id: string, cells: RowsRead['rows'][number] | undefined, plan: MappingPlan, lsn: Lsn): Content {
  if (cells === undefined) return { kind: 'lost' }
  if (cells === null) return { kind: 'gone', lsn, by: 'read' }
  const mapped = plan.map(cells)
  // The row has another id by now, and arrives under that one by itself.
  if (mapped.id !== id) return { kind: 'gone', lsn, by: 'read' }
  if (mapped.kind === 'invalid') return { kind: 'invalid', error: mapped.error }
  if (mapped.kind !== 'object') return { kind: 'gone', lsn, by: 'read' }
  return { kind: 'object', json: mapped.json, fingerprint: mapped.fingerprint, lsn, by: 'read' }
}

async function readUnlessMoved(
  db: RowReader,
  source: Source,
  keys: Parameters<typeof readRows>[3],
): Promise<RowsRead | null> {
  try {
    return await readRows(db, source.bound.rowTable, source.bound.readColumns, keys)
  } catch (error) {
    if (error instanceof Error && 'code' in error && movedCodes.has(String(error.code))) return null
    throw error
  }
}

function planFor(source: Source, target: Target, read: RowsRead, sources: Sources): MappingPlan | null {
  const plan = compileTable(source.bound, read.columns, sources.types)
  return plan.fits ? (plan.mappings.find((candidate) => candidate.mapping === target.mapping) ?? null) : null
}
