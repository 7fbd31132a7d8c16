/** A model or a table that could be mapped, as the schema or the catalogue tells of it. */
export interface Candidate {
  /** As the configuration names it: `Product`, `public.products`. */
  readonly name: string
  /** Its name without a schema: what a namespace is guessed from. */
  readonly shortName: string
  readonly fields: readonly CandidateField[]
  /** The fields of its primary key, in the key's order; empty where it has none. */
  readonly key: readonly string[]
}

export interface CandidateField {
  readonly name: string
  readonly kind: FieldKind
  readonly list: boolean
  /** The candidate that it is the foreign key of, by its primary key. */
  readonly refersTo: string | null
  /** It is set anew with each write (`@updatedAt`). */
  readonly touched: boolean
}

export type FieldKind = 'text' | 'number' | 'boolean' | 'time' | 'json' | 'binary' | 'other'
