import type { ComputedField, Field, FieldSettings, Mapping } from '../../src/config/resolved.js'

export interface MappingWords extends Partial<Omit<Mapping, 'table' | 'fields' | 'computed' | 'id'>> {
  /** `products` in the default schema, or `shop.products`. */
  readonly table: string
  /** Column names, or `{ column: { as, property, settings } }`. */
  readonly fields: readonly string[] | Readonly<Record<string, Partial<Field>>>
  readonly computed?: Readonly<Record<string, ComputedField['value']>>
  readonly computedSettings?: FieldSettings
  readonly id?: Partial<Mapping['id']>
}

/** A mapping with every default filled in, as the configuration hands it over. */
export function mappingOf(words: MappingWords): Mapping {
  const [first = '', second] = words.table.split('.')
  const fields = Array.isArray(words.fields)
    ? words.fields.map((column: string) => [column, {}] as const)
    : Object.entries(words.fields as Record<string, Partial<Field>>)
  return {
    path: words.path ?? `tables[${JSON.stringify(words.table)}]`,
    table: second === undefined ? { schema: null, name: first } : { schema: first, name: second },
    namespace: words.namespace ?? 'things',
    id: { columns: null, join: ':', prefix: '', ...words.id },
    fields: fields.map(([column, field]) => ({ column, property: column, as: column, settings: {}, ...field })),
    computed: Object.entries(words.computed ?? {}).map(([as, value]) => ({
      as,
      value,
      settings: words.computedSettings ?? {},
    })),
    where: words.where ?? null,
    onDelete: words.onDelete ?? 'ignore',
    deliver: words.deliver ?? 'latest',
  }
}
