import { modelSchemas } from '../../model-schemas.js'
import { enumValues } from './enum-values.js'
import { type ToText, textOf } from './key-text.js'
import type { PrismaInternals, RuntimeField } from './prisma-client.js'
import type { CapturedTable, ClientTables } from './tables.js'

/** A model of the client. */
export interface Model {
  readonly name: string
  /** Its table, `schema.table`. */
  readonly source: string
  readonly fields: ReadonlyMap<string, ModelField>
  /** The fields that the client leaves out unless it is told otherwise. */
  readonly omitted: ReadonlySet<string>
  /** Its mapping, if it has one. */
  readonly captured: CapturedModel | null
}

/** A field with its column; a relation has none. */
export interface ModelField extends RuntimeField {
  readonly column: string
}

export interface CapturedModel {
  readonly table: CapturedTable
  /** How keys are read from a result; `null` where they cannot be: then the whole table is marked. */
  readonly key: readonly KeyField[] | null
}

export interface KeyField {
  readonly field: string
  readonly column: string
  readonly toText: ToText
}

/** All models of a client, by name, with their tables. */
export function modelsOf(client: PrismaInternals, tables: ClientTables): ReadonlyMap<string, Model> {
  const bySource = new Map(tables.tables.map((table) => [table.source, table]))
  const prismaSchema = client._engineConfig.inlineSchema ?? ''
  const enums = enumValues(prismaSchema)
  const schemas = modelSchemas(prismaSchema)
  const models = new Map<string, Model>()
  for (const [name, { schema, dbName, fields }] of Object.entries(client._runtimeDataModel.models)) {
    const source = `${schema ?? schemas.get(name) ?? tables.defaultSchema}.${dbName ?? name}`
    const table = bySource.get(source)
    const omit = client._globalOmit?.[delegateName(name)] ?? {}
    models.set(name, {
      name,
      source,
      fields: new Map(fields.map((field) => [field.name, { ...field, column: field.dbName ?? field.name }])),
      omitted: new Set(Object.keys(omit).filter((field) => omit[field] === true)),
      captured: table === undefined ? null : capturedModel(table, fields, enums),
    })
  }
  return models
}

/** The name of a model's delegate: `prisma.orderLine` of `OrderLine`. */
export function delegateName(model: string): string {
  return `${model.charAt(0).toLowerCase()}${model.slice(1)}`
}

function capturedModel(
  table: CapturedTable,
  fields: readonly RuntimeField[],
  enums: ReturnType<typeof enumValues>,
): CapturedModel {
  const key: KeyField[] = []
  for (const column of table.keyColumns) {
    const field = fields.find(
      (candidate) => candidate.kind !== 'object' && (candidate.dbName ?? candidate.name) === column.name,
    )
    const toText = field && textOf(column, enums.get(field.type))
    if (field !== undefined && toText !== undefined) key.push({ field: field.name, column: column.name, toText })
  }
  return {
    table,
    key: key.length > 0 && key.length === table.keyColumns.length ? key : null,
  }
}
