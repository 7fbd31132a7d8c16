import type { PrismaSyncConfig, SentBy, Tables, TablesSyncConfig } from './config/input.js'
import type { AskedModels, Models, PrismaClientLike } from './config/models.js'
import { resolve } from './config/resolve.js'
import type { ResolvedSync } from './config/resolved.js'
import { modelsAsSource, runtimeModels, tablesAsTheyAre } from './config/source.js'
import { ConfigError } from './errors.js'
import type { Extension, ExtensionOptions } from './extension/options.js'
import { createExtension } from './extension.js'
import type { BackfillReport } from './pipeline/backfill/report.js'
import type { BackfillOptions } from './pipeline/run-backfill.js'
import { createWebhook, type WebhookHandler, type WebhookOptions } from './webhook.js'

// Of the registry, not of this module: a configuration may have been loaded through another copy of the package.
const brand: unique symbol = Symbol.for('prisma-extension-safetykit.sync')

/** A checked configuration, as `defineSync` gives it. */
export interface Sync {
  readonly [brand]: true
  /** Every name resolved, every default filled in. */
  readonly resolved: ResolvedSync
  /**
   * Sends what SafetyKit does not have as it is: all rows the first time, nothing where all is in step. It may run beside a
   * sidecar and beside the application; whatever ends it, the next one that is asked for the same goes on where it was.
   * Resolves once all of it is settled.
   *
   * @example
   * ```ts
   * const { tables } = await sync.backfill({ models: ['Product'], onProgress: ({ rows }) => console.log(rows) })
   * ```
   * @throws {SyncError} where the database cannot serve, the API refuses the key, or files cannot be written or uploaded.
   */
  backfill(options?: BackfillOptions): Promise<BackfillReport>
  /**
   * Takes the webhooks of SafetyKit, in any framework that knows `Request` and `Response`: what an evaluation says is
   * recorded in `objects`, and given to `onResult`. Nothing is connected to before the first request.
   *
   * @example
   * ```ts
   * // app/api/safetykit/route.ts
   * import sync from '../../../safetykit.config.js'
   *
   * export const POST = sync.webhook()
   * ```
   */
  webhook(options?: WebhookOptions): WebhookHandler
}

/** A checked configuration over a Prisma client. `Known` holds what the client's types say of the mapped models. */
export interface PrismaSync<Known> extends Sync {
  /**
   * Extends a client: its writes are delivered to SafetyKit, and `$safetykit` answers what became of them. Nothing is
   * started before the client's first operation.
   *
   * @example
   * ```ts
   * import sync from './safetykit.config.js'
   * import { prisma } from './db.js'
   *
   * export const db = prisma.$extends(sync.extension())
   * const status = await db.$safetykit.status('Product', product.id)
   * ```
   */
  extension(options?: ExtensionOptions): Extension<Known>
}

/**
 * Says which rows go into which SafetyKit namespaces, by the models of a Prisma client. Models, fields and settings are
 * checked by the client's types, and once more when it runs. Nothing is connected to.
 *
 * @example
 * ```ts
 * // safetykit.config.ts
 * import { defineSync } from 'prisma-extension-safetykit'
 * import { prisma } from './src/db.js'
 *
 * export default defineSync(prisma, {
 *   capture: 'replication',
 *   models: {
 *     Seller: { namespace: 'sellers', fields: { name: { display_hint: { type: 'title' } } } },
 *     Product: {
 *       namespace: 'products',
 *       fields: {
 *         title: { display_hint: { type: 'title' } },
 *         price: true,
 *         status: true,
 *         sellerId: { as: 'seller_id', namespace_ref: 'sellers' },
 *       },
 *       computed: {
 *         headline: { value: (row) => `${row.title} for ${row.price}`, display_hint: { type: 'subtitle' } },
 *       },
 *       where: (row) => row.status !== 'DRAFT',
 *       onDelete: 'tombstone',
 *     },
 *   },
 * })
 * ```
 * @throws ConfigError with all mistakes, each with its path and what to write instead.
 */
export function defineSync<Client extends PrismaClientLike, const Sent extends SentBy<Models<Client>>>(
  prisma: Client,
  config: PrismaSyncConfig<Client, Sent>,
): PrismaSync<AskedModels<Client, keyof Sent>>
/**
 * Says which rows go into which SafetyKit namespaces, by the tables and columns of a database without Prisma. A table is
 * named `schema.table`, as the catalogue spells both: `'Shop.Product'` is the quoted mixed-case `"Shop"."Product"`.
 *
 * @example
 * ```ts
 * import { defineSync } from 'prisma-extension-safetykit'
 *
 * export default defineSync({
 *   capture: 'replication',
 *   tables: {
 *     'public.products': {
 *       namespace: 'products',
 *       fields: { title: { display_hint: { type: 'title' } }, seller_id: { as: 'seller', namespace_ref: 'sellers' } },
 *     },
 *   },
 * })
 * ```
 * @throws ConfigError with all mistakes, each with its path and what to write instead.
 */
export function defineSync<const Sent extends SentBy<Tables>>(config: TablesSyncConfig<Sent>): Sync
export function defineSync(...given: readonly unknown[]): Sync | PrismaSync<unknown> {
  const [first, config] = given
  if (given.length < 2 && runtimeModels(first) === undefined) {
    if (hasModels(first)) throw noClient('needs the Prisma client', 'write defineSync(prisma, { models: … })')
    return syncOf(resolve(first, tablesAsTheyAre))
  }
  const models = runtimeModels(first)
  if (models === undefined) {
    throw noClient(
      'was not given a Prisma client',
      'pass the client itself, as in defineSync(new PrismaClient(…), { … })',
    )
  }
  const resolved = resolve(config, modelsAsSource(models))
  return { ...syncOf(resolved), extension: (options = {}) => createExtension({ resolved, models, options }) }
}

const syncOf = (resolved: ResolvedSync): Sync => ({
  [brand]: true,
  resolved,
  // Loaded when it is asked for: a configuration is light to import.
  backfill: async (options = {}) => (await import('./pipeline/run-backfill.js')).runBackfill(resolved, options),
  webhook: (options) => createWebhook(resolved, options),
})

/** Whether a value came from `defineSync`, of this copy of the package or another. */
export function isSync(value: unknown): value is Sync {
  return typeof value === 'object' && value !== null && brand in value
}

function hasModels(config: unknown): boolean {
  return typeof config === 'object' && config !== null && 'models' in config
}

function noClient(message: string, hint: string): ConfigError {
  return new ConfigError([{ path: 'defineSync', message, hint }])
}
