/** A mapped table as capture by triggers sees it. */
export interface CapturedTable {
  readonly schema: string
  readonly name: string
  /** What `dirty.source` holds: `schema.table`, as the catalogue spells them. */
  readonly source: string
  /** What a row's key holds: the primary key, then the columns of the ids. */
  readonly keyColumns: readonly KeyColumnType[]
  /** The columns whose change is a change of what is sent, those of the key included. */
  readonly columns: readonly string[]
  /** A mapped column is computed when it is read, so that triggers do not see it: any change of the row may change it. */
  readonly readsVirtualColumns: boolean
  /** Deletes are captured, and the old key of a row whose key was changed. */
  readonly tombstone: boolean
}

export interface KeyColumnType {
  readonly name: string
  readonly typeOid: number
}

/** All that triggers are wanted for. */
export interface WantedCapture {
  /** The schema of the side tables, unquoted. */
  readonly schema: string
  readonly tables: readonly CapturedTable[]
  /** How a session has to be set, so that values are written as keys hold them. */
  readonly sessionSettings: readonly (readonly [name: string, value: string])[]
}
