/** A value in Postgres' text format; `null` is SQL's null; `undefined` is not there (an unchanged TOAST value). */
export type Cell = string | null | undefined

/** The key of a row: column name → value in Postgres' text format. What `dirty.key` holds. */
export type RowKey = Readonly<Record<string, string>>

/** A relation as the WAL described it when the change was written; it can differ from today's table. */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  readonly replicaIdentity: 'default' | 'nothing' | 'full' | 'index'
  readonly columns: readonly RelationColumn[]
}

export interface RelationColumn {
  readonly name: string
  readonly typeOid: number
  /** Part of the replica identity: there in the old row of an update or a delete. */
  readonly isKey: boolean
}
