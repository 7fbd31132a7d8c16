import type { CapturedTable, WantedCapture } from './captured-table.js'
import {
  definitionsOf,
  enableSql,
  keyTextFunction,
  triggerSql,
  type WantedFunction,
  type WantedTrigger,
} from './definitions.js'
import type { Installed, InstalledTable, InstalledTrigger } from './installed.js'

/** What has to be done for one table; nothing where all its lists are empty. */
export interface TableChange {
  readonly source: string
  /** `undefined` where the table does not exist. */
  readonly table: InstalledTable | undefined
  /** What does not fit, a sentence each. */
  readonly problems: readonly string[]
  /** Takes no lock on the table. */
  readonly functionSql: readonly string[]
  /** Needs a lock on the table that keeps writers out. */
  readonly triggerSql: readonly string[]
  /** Inserts or updates may have gone by unseen. */
  readonly gap: boolean
}

/** Triggers of ours where none is wanted, on one table. */
export interface Removal {
  readonly table: string
  readonly sqlName: string
  readonly oid: string
  readonly owner: string
  readonly owned: boolean
  readonly triggers: readonly string[]
}

/** `pg_trigger.tgtype` of triggers that fire after. */
const typeBits = { row: 1, insert: 4, delete: 8, update: 16 } as const

/** What makes the triggers of a table what they have to be. */
export function tableChange(table: CapturedTable, wanted: WantedCapture, installed: Installed): TableChange {
  const { source } = table
  const found = installed.tables.find(({ schema, name }) => schema === table.schema && name === table.name)
  if (found === undefined) {
    const problems = [`the table ${source} does not exist`]
    return { source, table: undefined, problems, functionSql: [], triggerSql: [], gap: false }
  }
  const { schema } = wanted
  const { functions, triggers } = definitionsOf(table, { schema, byRow: found.byRow })
  const oldFunctions = functions.filter((one) => !functionFits(one, installed))
  const changes = triggers.map((trigger) => {
    const there = installed.triggers.find(({ name, tableOid }) => name === trigger.name && tableOid === found.oid)
    const problem = triggerProblem(trigger, there)
    const replacing = there !== undefined
    const sql =
      problem === null
        ? []
        : problem.mend === 'enable'
          ? [enableSql(found.sqlName, trigger.name)]
          : triggerSql(found.sqlName, trigger, { schema, replacing, versionNum: installed.versionNum })
    return { trigger, problem, sql }
  })
  const unfit = changes.filter(({ problem }) => problem !== null)
  const gap = unfit.some(({ trigger }) => trigger.operation !== 'delete')
  return {
    source,
    table: found,
    problems: [
      ...unfit.map(({ trigger, problem }) => `the trigger ${trigger.name} of ${source} ${problem?.message}`),
      ...(oldFunctions.length > 0 && unfit.length < triggers.length
        ? [`the trigger functions of ${source} do not fit the mapping`]
        : []),
    ],
    functionSql: oldFunctions.map(({ sql }) => sql),
    triggerSql: unfit.flatMap(({ sql }) => sql),
    gap,
  }
}

/** The function that all tables share, where it is not as it has to be. */
export function keyTextChange(wanted: WantedCapture, installed: Installed): WantedFunction | null {
  const keyText = keyTextFunction(wanted)
  return wanted.tables.length === 0 || functionFits(keyText, installed) ? null : keyText
}

/** Triggers of ours that no mapping wants, by table. */
export function removals(wanted: WantedCapture, installed: Installed): readonly Removal[] {
  const kept = new Set(
    installed.tables.flatMap(({ oid, schema, name }) => {
      const table = wanted.tables.find((one) => one.schema === schema && one.name === name)
      if (table === undefined) return []
      return definitionsOf(table, { schema: wanted.schema, byRow: false }).triggers.map(
        (trigger) => `${oid} ${trigger.name}`,
      )
    }),
  )
  const stale = installed.triggers.filter(
    ({ functionName, tableOid, name }) => functionName !== null && !kept.has(`${tableOid} ${name}`),
  )
  const byTable = new Map<string, Removal>()
  for (const { name, table, tableSqlName: sqlName, tableOid: oid, owner, owned } of stale) {
    const triggers = [...(byTable.get(oid)?.triggers ?? []), name]
    byTable.set(oid, { table, sqlName, oid, owner, owned, triggers })
  }
  return [...byTable.values()]
}

/** Functions of ours that no mapping wants. */
export function staleFunctions(wanted: WantedCapture, installed: Installed): readonly string[] {
  const kept = new Set(
    wanted.tables.flatMap((table) =>
      definitionsOf(table, { schema: wanted.schema, byRow: false }).functions.map(({ name }) => name),
    ),
  )
  if (wanted.tables.length > 0) kept.add(keyTextFunction(wanted).name)
  return installed.functions.flatMap(({ name }) => (kept.has(name) ? [] : [name]))
}

function functionFits(wanted: WantedFunction, { functions }: Installed): boolean {
  const there = functions.find(({ name }) => name === wanted.name)
  if (there === undefined) return false
  const definer = !wanted.strict
  return (
    there.body === wanted.body &&
    there.strict === wanted.strict &&
    there.definer === definer &&
    JSON.stringify(there.config) === JSON.stringify(wanted.config)
  )
}

interface TriggerProblem {
  readonly message: string
  readonly mend: 'make' | 'enable'
}

function triggerProblem(wanted: WantedTrigger, there: InstalledTrigger | undefined): TriggerProblem | null {
  if (there === undefined) return { message: 'does not exist', mend: 'make' }
  const type = typeBits[wanted.operation] + (wanted.forEachRow ? typeBits.row : 0)
  if (there.functionName !== wanted.functionName || there.type !== type || !there.plain) {
    return { message: 'is another one', mend: 'make' }
  }
  if (there.enabled === 'disabled') return { message: 'is disabled', mend: 'enable' }
  if (there.enabled !== 'always') return { message: 'is not enabled for all writers', mend: 'enable' }
  if (there.unfitPartitions > 0) return { message: 'is not enabled on all partitions', mend: 'enable' }
  return null
}
