/** What the capture has to know of the database. */
export interface ClientTables {
  /** The schema of models without `@@schema`: that of the database URL (`?schema=`), else `public`. */
  readonly defaultSchema: string
  /** The mapped tables. */
  readonly tables: readonly CapturedTable[]
  readonly foreignKeys: readonly ForeignKey[]
  readonly relations: readonly Relation[]
  /** Whether there are constraints that may be checked at commit only. */
  readonly deferrable: boolean
  /** The names of the functions that may write, as the catalogue spells them. */
  readonly writers: readonly string[]
}

export interface CapturedTable {
  /** `schema.table`, as it stands in `dirty`. */
  readonly source: string
  /** Whether deletes are sent. */
  readonly tombstone: boolean
  readonly keyColumns: readonly KeyColumn[]
}

export interface KeyColumn {
  readonly name: string
  /** The name of the type in `pg_type`, that of the base type for a domain. */
  readonly type: string
  /** `pg_attribute.atttypmod`: digits and precisions; -1 for none. */
  readonly typmod: number
  /** An enum's values; null for another type. */
  readonly labels: readonly string[] | null
}

/** What happens to the referencing row: nothing (or the statement fails), it goes as well, or it gets other values. */
export type ForeignKeyAction = 'none' | 'cascade' | 'set'

export interface ForeignKey {
  /** The referencing table, `schema.table`. */
  readonly child: string
  readonly childColumns: readonly string[]
  /** Whether at most one row can refer to the same row: a one-to-one relation. */
  readonly childUnique: boolean
  /** The referenced table, `schema.table`. */
  readonly parent: string
  readonly parentColumns: readonly string[]
  readonly onDelete: ForeignKeyAction
  readonly onUpdate: ForeignKeyAction
}

/** A table or a view that exists, mapped or not. */
export interface Relation {
  readonly schema: string
  readonly name: string
  /** What a write to it may change, `schema.table`: itself, the tables that a view reads, the table of a partition. */
  readonly writes: readonly string[]
}
