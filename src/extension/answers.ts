import type { ResolvedSync } from '../config/resolved.js'
import type { RuntimeModel } from '../config/source.js'
import { explainDatabaseError } from '../database-errors.js'
import { SyncError } from '../errors.js'
import type { Logger } from '../logger.js'
import { retry } from '../operate/retry.js'
import { openDatabases } from '../pipeline/databases.js'
import type { FlushOptions, NamespaceOption, ObjectStatus, RequestsOptions, SafetyKit } from './api.js'
import { BoundModels } from './bound-models.js'
import { clientTables } from './client-tables.js'
import { flush } from './flush.js'
import { mappingOf, objectIds } from './object-ids.js'
import { ObjectRecords } from './object-records.js'
import { type ExtensionOptions, urlOf } from './options.js'
import { resend } from './resend.js'
import { slotPassing } from './slot-passing.js'
import { WaitingKeysView } from './waiting-keys.js'
import type { Worker } from './worker.js'

export interface AnswersOptions {
  readonly parent: object
  readonly resolved: ResolvedSync
  readonly models: ReadonlyMap<string, RuntimeModel>
  readonly options: ExtensionOptions
  readonly worker: Worker
  readonly logger: Logger
}

/** The answers of `$safetykit`, over connections of their own. */
export type Answers = ReturnType<typeof openAnswers>

/** @throws {SyncError} `SETTING_MISSING` or `CONFIG_INVALID` where there is no database to ask. */
export function openAnswers({ parent, resolved, models, options, worker, logger }: AnswersOptions) {
  const { schema, capture, deliver } = resolved
  const databaseUrl = urlOf(options)
  const databases = openDatabases({ databaseUrl, resolved, logger, max: 2 })
  const bound = new BoundModels({ databases, resolved, models })
  const records = new ObjectRecords(databases.ledger, schema)
  const waiting = new WaitingKeysView(databases.ledger, schema)
  const delivers = deliver === 'inline'

  const explained = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (error) {
      throw isMissing(error) ? notMigrated(schema, error) : explainDatabaseError(error, databaseUrl)
    }
  }

  const idsOf = async (name: string, ids: readonly unknown[], { namespace }: NamespaceOption) => {
    const model = await bound.get(name)
    const mapping = mappingOf(model, namespace)
    return { namespace: mapping.namespace, ids: await objectIds(databases.source, model, mapping, ids) }
  }

  const statuses = (name: string, given: readonly unknown[], option: NamespaceOption = {}) =>
    explained(async (): Promise<(ObjectStatus | null)[]> => {
      if (given.length === 0) return []
      const { namespace, ids } = await idsOf(name, given, option)
      const known = await records.objects(namespace, ids)
      return ids.map((id) => known.get(id) ?? null)
    })

  return {
    statuses,
    async status(name: string, id: unknown, option: NamespaceOption = {}) {
      return (await statuses(name, [id], option))[0] ?? null
    },
    requests: (name: string, id: unknown, option: RequestsOptions = {}) =>
      explained(async () => {
        const { namespace, ids } = await idsOf(name, [id], option)
        return records.requests(namespace, ids[0] ?? '', option.limit ?? 20)
      }),
    resend: (name: string, where: unknown) =>
      explained(async () => {
        if (where === undefined || where === null) {
          const hint = 'Say which rows; {} is every one.'
          throw new SyncError('ARGUMENT_INVALID', `resend was not told which rows of ${name}`, { hint })
        }
        const marked = await resend(await bound.get(name), where, { parent, databases, schema })
        if (delivers) worker.ensure()
        worker.wake()
        return marked
      }),
    retry: ({ limit, dryRun, ...filter }: Parameters<SafetyKit<unknown>['retry']>[0]) =>
      explained(async () => {
        const { ledger, defaultSchema } = databases
        const report = await retry({ resolved, ledger, defaultSchema, filter, limit, dryRun })
        if (dryRun !== true && delivers) worker.ensure()
        if (dryRun !== true) worker.wake()
        return report
      }),
    flush: (option: FlushOptions = {}) =>
      explained(() =>
        flush(
          {
            waiting,
            records,
            models: bound,
            slotHasPassed: capture === 'replication' ? slotPassing(databases.source, resolved.slot.name) : null,
            async work() {
              if (!delivers) return
              await worker.ready()
              worker.wake()
            },
            rest: () => worker.rest(),
          },
          option,
        ),
      ),
    /** For the capture in the client. */
    clientTables: () => explained(() => clientTables(databases, resolved)),
    async close() {
      const timer = setTimeout(() => databases.cut(), closeMs)
      await databases.close()
      clearTimeout(timer)
    },
  }
}

/** How long an answer that is under way when the client is disconnected may take. */
const closeMs = 1_000

/** Undefined table, column or schema: that of the side tables, since the tables that are mapped were found. */
const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['42P01', '42703', '3F000'].includes(String(error.code))

const notMigrated = (schema: string, cause: unknown): SyncError =>
  new SyncError(
    'SCHEMA_OUTDATED',
    `The side tables in the schema "${schema}" do not exist, or not as this version has them`,
    {
      cause,
      hint: 'Run: safetykit-sync migrate',
    },
  )
