import type { Candidate, CandidateField, FieldKind } from './candidate.js'
import type { PrismaField, PrismaModel, PrismaSchema } from './prisma-schema.js'

const kinds: Readonly<Record<string, FieldKind>> = {
  String: 'text',
  Int: 'number',
  BigInt: 'number',
  Float: 'number',
  Decimal: 'number',
  Boolean: 'boolean',
  DateTime: 'time',
  Json: 'json',
  Bytes: 'binary',
}

/** The models of a schema that a client has delegates of. */
export function candidatesOfPrisma({ models, enums }: PrismaSchema): Candidate[] {
  const known = models.filter(({ attributes }) => !attributes.has('ignore'))
  return known.map((model) => {
    const references = referencesOf(model, known)
    const fields = model.fields.flatMap((field): CandidateField[] => {
      const kind = kinds[field.type] ?? (enums.has(field.type) ? 'other' : undefined)
      if (kind === undefined || field.attributes.has('ignore')) return []
      const refersTo = references.get(field.name) ?? null
      return [{ name: field.name, kind, list: field.list, refersTo, touched: field.attributes.has('updatedAt') }]
    })
    return { name: model.name, shortName: model.name, fields, key: keyOf(model) }
  })
}

function keyOf({ fields, attributes }: PrismaModel): readonly string[] {
  const single = fields.find((field) => field.attributes.has('id'))
  return single === undefined ? namesIn(attributes.get('id')) : [single.name]
}

/** Foreign keys of one field, by that field; only such as hold the other one's primary key, which is its object's id. */
function referencesOf({ fields }: PrismaModel, models: readonly PrismaModel[]): ReadonlyMap<string, string> {
  const references = new Map<string, string>()
  for (const { type, attributes } of fields as readonly PrismaField[]) {
    const relation = attributes.get('relation')
    const [from, ...more] = namesIn(argument(relation, 'fields'))
    const target = models.find(({ name }) => name === type)
    if (from === undefined || more.length > 0 || target === undefined) continue
    const key = keyOf(target)
    const [to] = namesIn(argument(relation, 'references'))
    if (key.length === 1 && key[0] === to) references.set(from, target.name)
  }
  return references
}

const argument = (given: string | undefined, name: string): string | undefined =>
  given === undefined ? undefined : new RegExp(`\\b${name}\\s*:\\s*(\\[[^\\]]*\\])`).exec(given)?.[1]

/** The names in the first brackets: `[a, b(sort: Desc)]`. */
const namesIn = (text: string | undefined): string[] =>
  (/\[([\s\S]*?)\]/.exec(text ?? '')?.[1] ?? '')
    .replace(/\([^)]*\)/g, '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
