import type { ClientBase } from 'pg'
import type { ResolvedSync } from '../../config/resolved.js'
import type { BoundTable } from '../../mapping/bind.js'
import type { Catalog } from '../../mapping/catalog.js'

/** The mapped tables that are there as the mapping has them; those that are not are told, and left out. */
export interface Tables {
  readonly client: ClientBase
  readonly resolved: ResolvedSync
  readonly catalog: Catalog
  readonly bound: readonly BoundTable[]
  /** Whether these are all. */
  readonly complete: boolean
}
