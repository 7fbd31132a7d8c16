import { z } from 'zod'
import { modelSchemas } from '../model-schemas.js'
import type { Path, Report } from './report.js'
import type { Mapping } from './resolved.js'

/** What the names in a configuration stand for: a Prisma client's models, or tables as they are. */
export interface Source {
  /** The setting that holds the mappings. */
  readonly setting: 'models' | 'tables'
  /** The table of this name; mistakes are noted, and give `undefined`. */
  find(name: string, path: Path, report: Report): SourceTable | undefined
}

export interface SourceTable {
  readonly table: Mapping['table']
  /** The column of this name; mistakes are noted, and give `undefined`. */
  column(name: string, path: Path, report: Report): string | undefined
}

const runtimeField = z.object({ name: z.string(), kind: z.string(), type: z.string(), dbName: z.string().nullish() })
const runtimeModel = z.object({
  dbName: z.string().nullish(),
  schema: z.string().nullish(),
  fields: z.array(runtimeField),
})
const clientShape = z.object({
  _runtimeDataModel: z.object({ models: z.record(z.string(), runtimeModel) }),
  _engineConfig: z.object({ inlineSchema: z.string().catch('') }).catch({ inlineSchema: '' }),
})

/** A model as the client knows it while it runs. */
export interface RuntimeModel {
  readonly table: Mapping['table']
  readonly fields: readonly RuntimeField[]
}

export interface RuntimeField {
  readonly name: string
  /** `object` is a relation, which has no column. */
  readonly kind: string
  /** Prisma's name of the type. */
  readonly type: string
  readonly column: string
}

/** The models of a Prisma client by name; `undefined` where the value is not one. */
export function runtimeModels(client: unknown): ReadonlyMap<string, RuntimeModel> | undefined {
  const parsed = clientShape.safeParse(client)
  if (!parsed.success) return undefined
  const { _runtimeDataModel, _engineConfig } = parsed.data
  const schemas = modelSchemas(_engineConfig.inlineSchema)
  return new Map(
    Object.entries(_runtimeDataModel.models).map(([name, { schema, dbName, fields }]) => [
      name,
      {
        table: { schema: schema ?? schemas.get(name) ?? null, name: dbName ?? name },
        fields: fields.map((field) => ({ ...field, column: field.dbName ?? field.name })),
      },
    ]),
  )
}

/** The models of a client as the source of a configuration. */
export function modelsAsSource(models: ReadonlyMap<string, RuntimeModel>): Source {
  return {
    setting: 'models',
    find(name, path, report) {
      const model = models.get(name)
      if (model === undefined) {
        report.unknown(name, 'model', models.keys(), path)
        return undefined
      }
      return { table: model.table, column: (field, at, to) => columnOf(model.fields, field, at, to) }
    },
  }
}

function columnOf(fields: readonly RuntimeField[], name: string, path: Path, report: Report): string | undefined {
  const columns = fields.filter((field) => field.kind !== 'object').map((field) => field.name)
  const field = fields.find((candidate) => candidate.name === name)
  if (field === undefined) {
    report.unknown(name, 'field', columns, path)
    return undefined
  }
  if (field.kind === 'object') {
    const foreignKey = columns.find((column) => column.toLowerCase() === `${name}id`.toLowerCase())
    const hint =
      foreignKey === undefined
        ? `map ${field.type} itself, and let it refer to this model by its foreign key`
        : `use the foreign key: ${foreignKey}`
    report.add(path, 'is a relation, and only fields with a column of their own can be used', hint)
    return undefined
  }
  return field.column
}

/** Tables as the catalogue spells them. Whether they are there is only known once the catalogue is read. */
export const tablesAsTheyAre: Source = {
  setting: 'tables',
  find(name, path, report) {
    const dot = name.indexOf('.')
    const schema = name.slice(0, dot)
    const table = name.slice(dot + 1)
    if (name.includes('"')) {
      const hint = `write it without quotes: '${name.replaceAll('"', '')}'`
      report.add(path, 'has quotes, and is to be spelled as the catalogue does', hint)
    } else if (dot < 0) {
      report.add(path, 'has to be a schema and a table', `write 'public.${name}'`)
    } else if (schema === '' || table === '') {
      const hint = `'public.products'; the first dot divides, so a table's name may hold dots and a schema's may not`
      report.add(path, 'has to be a schema and a table', `write it as in ${hint}`)
    } else {
      return { table: { schema, name: table }, column: (column) => column }
    }
    return undefined
  },
}
