import type { CapturedTable, WantedCapture } from '../capture/triggers/captured-table.js'
import type { BoundTable } from '../mapping/bind.js'
import { sessionSettings } from '../mapping/session.js'

/** What capture by triggers has to install for the mapped tables. */
export function wantedCapture(schema: string, tables: readonly BoundTable[]): WantedCapture {
  return {
    schema,
    tables: tables.map(capturedTable),
    sessionSettings: sessionSettings.filter(([name]) => name !== 'jit'),
  }
}

function capturedTable({ source, table, mappings, keyColumns, readColumns }: BoundTable): CapturedTable {
  const columnOf = new Map(table.columns.map((column) => [column.name, column]))
  return {
    schema: table.schema,
    name: table.name,
    source,
    keyColumns: keyColumns.map((name) => ({ name, typeOid: columnOf.get(name)?.typeOid ?? 0 })),
    columns: readColumns,
    readsVirtualColumns: readColumns.some((name) => columnOf.get(name)?.generated === 'virtual'),
    tombstone: mappings.some(({ onDelete }) => onDelete === 'tombstone'),
  }
}
