export type {
  MappingInput,
  Mappings,
  PrismaSyncConfig,
  Row,
  SyncOptions,
  Tables,
  TablesSyncConfig,
} from './config/input.js'
export type { Models, PrismaClientLike } from './config/models.js'
export type * from './config/resolved.js'
export type * from './config/settings.js'
export type { ContentType, DisplayHintType } from './config/words.js'
export { ConfigError, type ErrorCode, type Mistake, SyncError, type SyncErrorOptions } from './errors.js'
export type { LogFields, Logger } from './logger.js'
export { defineSync, isSync, type Sync } from './sync.js'
