/** What a type is made of; `name` is its SQL name, quoted and with its schema. */
export type TypeShape =
  | { readonly kind: 'base'; readonly name: string }
  | { readonly kind: 'array'; readonly name: string; readonly element: number; readonly delimiter: string }
  | { readonly kind: 'domain'; readonly name: string; readonly base: number }

/** The types of a database by OID, as they were when the catalogue was read. */
export interface TypeCatalog {
  /** `undefined` for a type that was made later. Enums, composites and ranges are `base`: they are sent as text. */
  resolve(oid: number): TypeShape | undefined
}

/** What runs a query: a client or a pool of `pg`. */
export interface Queryable {
  query(config: { readonly text: string; readonly values?: unknown[] }): Promise<{ rows: unknown[] }>
}

interface TypeRow {
  readonly oid: string
  readonly name: string
  readonly base: string | null
  readonly element: string | null
  readonly delimiter: string | null
}

// int2vector and oidvector have an element type too, but are not written as arrays; the output function tells.
const typesSql = `
  SELECT t.oid::text AS oid,
         pg_catalog.format('%I.%I', n.nspname, t.typname) AS name,
         CASE WHEN t.typtype = 'd' THEN t.typbasetype::text END AS base,
         e.oid::text AS element,
         e.typdelim::text AS delimiter
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_type e
      ON e.oid = t.typelem AND t.typtype <> 'd' AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc`

/** Reads all types in one query. */
export async function readTypes(client: Queryable): Promise<TypeCatalog> {
  const { rows } = await client.query({ text: typesSql })
  const shapes = new Map((rows as TypeRow[]).map((row) => [Number(row.oid), shapeOf(row)]))
  return { resolve: (oid) => shapes.get(oid) }
}

/** The type that a domain stands for, through domains over domains; any other type is its own. */
export function baseType(oid: number, types: TypeCatalog): TypeShape | undefined {
  const shape = types.resolve(oid)
  return shape?.kind === 'domain' ? baseType(shape.base, types) : shape
}

function shapeOf({ name, base, element, delimiter }: TypeRow): TypeShape {
  if (base !== null) return { kind: 'domain', name, base: Number(base) }
  if (element !== null) return { kind: 'array', name, element: Number(element), delimiter: delimiter ?? ',' }
  return { kind: 'base', name }
}
