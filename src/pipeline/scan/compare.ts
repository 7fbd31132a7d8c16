import type { Comparison } from '../../ledger/comparison.js'
import { expectedOf, type Standing, standingOf } from './standing.js'
import type { WalkedObject, WalkedRow } from './table-walk.js'

/** Asks the ledger about all objects of some rows, and tells each one's standing. Writes nothing. */
export async function compareRows(
  comparison: Comparison,
  rows: readonly WalkedRow[],
  onStanding: (row: WalkedRow, object: WalkedObject, standing: Standing) => void,
): Promise<void> {
  const byNamespace = new Map<string, { row: WalkedRow; object: WalkedObject }[]>()
  for (const row of rows) {
    for (const object of row.objects) {
      const { namespace } = object.target.mapping
      const objects = byNamespace.get(namespace)
      if (objects === undefined) byNamespace.set(namespace, [{ row, object }])
      else objects.push({ row, object })
    }
  }
  for (const [namespace, objects] of byNamespace) {
    const wanted = objects.map(({ object }) => ({ id: object.id, fingerprint: expectedOf(object.wanted) }))
    const differing = await comparison.differing(namespace, wanted)
    for (const [index, { row, object }] of objects.entries()) {
      const known = differing.get(index)
      onStanding(row, object, known === undefined ? 'in step' : standingOf(object.wanted, known))
    }
  }
}
