import type { Evaluation } from '../evaluation.js'
import type { Models } from './models.js'
import type {
  DeliverySettings,
  HeartbeatSettings,
  ImportSettings,
  Json,
  ParkingSettings,
  ResolvedSync,
  SpillSettings,
} from './resolved.js'
import type { ApiSettings, ComputedInput, FieldOptions, IdInput } from './settings.js'
import type { ContentType, DisplayHintType } from './words.js'

/** Settings that both forms of `defineSync` share. */
export interface SyncOptions {
  /** The Postgres schema of the side tables. Default: `'safetykit'`. */
  readonly schema?: string
  /**
   * The side tables' database, where it is not the source's; only with `capture: 'replication'`. Default: the source's.
   */
  readonly ledgerUrl?: string
  readonly publication?: Partial<ResolvedSync['publication']>
  readonly slot?: Partial<ResolvedSync['slot']>
  /**
   * When changes that cannot be delivered are kept as keys, so that the server's disk does not fill with WAL: after a
   * minute, or with 1 GiB held back.
   */
  readonly spill?: Partial<SpillSettings>
  /** How a stream that hangs is noticed: by a message every 15 s, and 30 s without it. */
  readonly heartbeat?: Partial<HeartbeatSettings>
  readonly delivery?: Partial<DeliverySettings>
  /** Default: after 1 and 5 and 30 minutes, 2 and 6 and 24 hours. */
  readonly parking?: Partial<ParkingSettings>
  /** Bytes of changes held in memory before the stream is paused. Default: 8 MiB. */
  readonly maxPendingBytes?: number
  /** When a backfill sends files rather than requests: from 5,000 objects a table, in files of 64 MiB. */
  readonly import?: Partial<ImportSettings>
  readonly scan?: {
    /**
     * Compares all mapped tables with the ledger so often, and sends what was missed: `'24h'`, `'7d'`. Default: only when
     * something is known to be missed.
     */
    readonly every?: `${number}${'s' | 'm' | 'h' | 'd'}`
  }
  /**
   * How SafetyKit's evaluations come back to `objects`: by asking for them, by webhooks (`sync.webhook()`, or
   * `safetykit-sync run --webhook-port`), or not at all. Default: `'poll'`.
   */
  readonly results?: 'poll' | 'webhook' | 'off'
  /**
   * Acts on an evaluation: hides a product, informs a seller. Called before the evaluation is recorded, and again where it
   * threw or the process died in between, so what it does has to bear being done twice. An object that was sent anew
   * meanwhile has its older evaluation told first, unless the newer one is there already.
   */
  readonly onResult?: (evaluation: Evaluation) => unknown
}

/** The form over a Prisma client. */
export interface PrismaSyncConfig<Client, Sent> extends SyncOptions {
  /** How changes are noticed. Default: `'trigger'`. */
  readonly capture?: 'trigger' | 'client' | 'replication'
  /** Where requests are sent from. Default: `'inline'`; with replication always `'sidecar'`. */
  readonly deliver?: 'inline' | 'sidecar'
  /**
   * Whether the application's own operations wait until it is known that everything is installed and the worker runs, and
   * are refused with a `SyncError` while it is not so. Default: `false`: it is told once through the logger, and the
   * operations go on. Of no effect with capture by replication, where the client neither captures nor delivers.
   */
  readonly strict?: boolean
  /** By model name; a model that goes into several namespaces has an array of mappings. */
  readonly models: Mappings<Models<Client>, Sent>
}

/** The form over tables, which needs no Prisma. */
export interface TablesSyncConfig<Sent> extends SyncOptions {
  /** How changes are noticed. Default: `'trigger'`. */
  readonly capture?: 'trigger' | 'replication'
  /** There is no Prisma client that could deliver: always `'sidecar'`. */
  readonly deliver?: 'sidecar'
  /**
   * By `schema.table`, both as the catalogue spells them and without quotes: `'public.products'`, `'Shop.Product'`. The
   * first dot divides, so a table's name may hold dots and a schema's may not.
   */
  readonly tables: Mappings<Tables, Sent>
}

/** Any table, any column: what they are is asked of the catalogue at start. */
export interface Tables {
  readonly [table: `${string}.${string}`]: { readonly [column: string]: Json }
}

/** One table into one namespace. */
export interface MappingInput<Columns, Sent, Namespace = string> {
  /** Letters, digits, `_` and `-`; case-sensitive. */
  readonly namespace: Namespace
  /** What is sent. `where` and `computed` see these fields and no others. */
  readonly fields: Sent & CheckedFields<Columns, Sent>
  /** Default: the primary key. */
  readonly id?: IdInput<Extract<keyof Columns, string>>
  /** More fields, by the name under which they are sent. */
  readonly computed?: { readonly [as: string]: ComputedInput<Row<Columns, Sent>> }
  /** Rows for which it gives `false` are not sent. Default: all are. */
  readonly where?: (row: Row<Columns, Sent>) => boolean
  /**
   * The API has no call that deletes an object: `'tombstone'` sends `{ "id": …, "deleted": true }` in its place, so that
   * no field may be sent as `deleted`. Default: `'ignore'`.
   */
  readonly onDelete?: 'ignore' | 'tombstone'
  /**
   * `'every'` sends each committed version of a row, in the order of the commits, also one that was live for a moment;
   * only with `capture: 'replication'`. Default: `'latest'`, the newest version when it is its turn.
   */
  readonly deliver?: 'latest' | 'every'
}

/** The mapped row: the fields that are sent, under the user's names, as the JSON that is sent. */
export type Row<Columns, Sent> = { readonly [Name in keyof Sent & keyof Columns]: Columns[Name] }

// `Sent` is inferred: table → the fields that are written down, or for an array of mappings a tuple of these. It is
// why `row` is known to hold just the mapped fields. The union without a condition on it is needed: TypeScript
// infers through both members, and through a conditional type it would not give `row` a type.
export type Mappings<Known, Sent> = {
  readonly [Name in keyof Sent]:
    | (SeveralMappings<Known, Name, Sent[Name]> & (Sent[Name] extends readonly unknown[] ? unknown : never))
    | MappingInput<ColumnsOf<Known, Name>, Sent[Name], NamespaceOf<Known, Name>>
}

type SeveralMappings<Known, Name, Sent> = {
  readonly [Index in keyof Sent]: MappingInput<ColumnsOf<Known, Name>, Sent[Index], NamespaceOf<Known, Name>>
}

type ColumnsOf<Known, Name> = Name extends keyof Known ? Known[Name] : object
type NamespaceOf<Known, Name> = Name extends keyof Known ? string : Mistake<`not known: ${Name & string}`>

/**
 * What `Sent` has to fit: known names, so that an editor can offer them. It lets other names through, as a failed
 * constraint would be told at the wrong place; `CheckedFields` refuses them at theirs.
 */
export type SentBy<Known> = {
  readonly [Name in keyof Known]?: SentFields<Known[Name]> | readonly [] | readonly SentFields<Known[Name]>[]
}

type SentFields<Columns> = { readonly [Name in keyof Columns]?: LooseField } & { readonly [name: string]: LooseField }
type LooseField = true | ({ readonly [setting in keyof FieldOptions]?: unknown } & OfferedWords)

interface OfferedWords {
  readonly content_type?: ContentType | (string & {})
  readonly display_hint?: { readonly type?: DisplayHintType | (string & {}); readonly [option: string]: unknown }
  readonly [setting: string]: unknown
}

type CheckedFields<Columns, Sent> = {
  readonly [Name in keyof Sent]: Name extends keyof Columns
    ? Sent[Name] extends true
      ? true
      : CheckedSettings<Sent[Name], FieldOptions>
    : Mistake<`not a scalar field: ${Name & string}`>
}

type CheckedSettings<Given, Known> = {
  readonly [Name in keyof Given]: Name extends keyof Known
    ? Given[Name] extends Known[Name]
      ? Name extends 'display_hint'
        ? CheckedSettings<Given[Name], NonNullable<ApiSettings['display_hint']>>
        : Known[Name]
      : Mistake<`not a value of ${Name & string}`>
    : Mistake<`not a setting: ${Name & string}`>
}

/** Makes the compiler say what is wrong where it is wrong: nothing fits this type. */
interface Mistake<Message extends string> {
  readonly mistake: Message
}
