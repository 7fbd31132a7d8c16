import { escapeIdentifier } from 'pg'

interface Named {
  readonly schema: string
  readonly name: string
}

/** As the user writes it: `public.products`. */
export function plainName({ schema, name }: Named): string {
  return `${schema}.${name}`
}

/** For SQL: `"public"."products"`. */
export function sqlName({ schema, name }: Named): string {
  return `${escapeIdentifier(schema)}.${escapeIdentifier(name)}`
}
