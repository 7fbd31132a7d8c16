import type { Comparison, KnownState } from '../../ledger/comparison.js'
import { expectedOf, type Standing, standingOf, wantedOf } from './standing.js'
import type { WalkedTarget } from './table-walk.js'

/** How some objects stand to their rows, by their index in what was walked. */
export interface Compared {
  readonly standings: readonly Standing[]
  /** What the ledger has of one that is not in step; `null`: nothing. */
  known(index: number): KnownState | null
  /** Of how many the ledger has nothing. */
  readonly unknown: number
}

/** Asks the ledger about what one mapping makes of some rows. Writes nothing. */
export async function compareTarget(
  comparison: Comparison,
  { target, mapped }: Pick<WalkedTarget, 'target' | 'mapped'>,
): Promise<Compared> {
  const { tombstone } = target.origin
  const fingerprints = mapped.map((one) =>
    one.kind === 'object' ? one.fingerprint : expectedOf(wantedOf(one, tombstone)),
  )
  const ids = mapped.map(({ id }) => id)
  const differing = await comparison.differing(target.mapping.namespace, ids, fingerprints)
  const standings = mapped.map((): Standing => 'in step')
  let unknown = 0
  for (const [index, known] of differing) {
    if (known === null) unknown += 1
    const one = mapped[index]
    if (one !== undefined) standings[index] = standingOf(wantedOf(one, tombstone), known)
  }
  return { standings, known: (index) => differing.get(index) ?? null, unknown }
}
