import type { RowCells, RowTable } from '../../src/capture/rows.js'
import { type Chunk, type ChunkReader, type ChunkRequest, readChunk } from '../../src/capture/scan.js'

/** A chunk with its rows' cells. */
export async function cellsOfChunk(
  db: ChunkReader,
  { rowTable, readColumns }: { readonly rowTable: RowTable; readonly readColumns: readonly string[] },
  request: Omit<ChunkRequest, 'begin'>,
): Promise<Chunk & { readonly cells: readonly RowCells[] }> {
  const cells: RowCells[] = []
  const chunk = await readChunk(db, rowTable, readColumns, { ...request, begin: () => (row) => cells.push(row) })
  return { ...chunk, cells }
}
