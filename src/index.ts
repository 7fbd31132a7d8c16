export type {
  MappingInput,
  Mappings,
  PrismaSyncConfig,
  Row,
  SyncOptions,
  Tables,
  TablesSyncConfig,
} from './config/input.js'
export type { AskedModels, Models, PrismaClientLike } from './config/models.js'
export type * from './config/resolved.js'
export type * from './config/settings.js'
export type { ContentType, DisplayHintType } from './config/words.js'
export { ConfigError, type ErrorCode, type Mistake, SyncError, type SyncErrorOptions } from './errors.js'
export type { Evaluation, EvaluationOutput } from './evaluation.js'
export type { SyncEvents } from './events.js'
export type * from './extension/api.js'
export type { Extension, ExtensionOptions } from './extension/options.js'
export type { LogFields, Logger } from './logger.js'
export type { RefusedGroup, RetryFilter, RetryReport } from './operate/retry-report.js'
export type * from './pipeline/backfill/report.js'
export type { BackfillOptions } from './pipeline/run-backfill.js'
export { defineSync, isSync, type PrismaSync, type Sync } from './sync.js'
export type { WebhookHandler, WebhookOptions } from './webhook.js'
