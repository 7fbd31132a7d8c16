import type { ResolvedSync } from '../../config/resolved.js'
import type { ProxySettings } from '../../environment.js'

/** Where the settings come from; each throws where it is missing or none. */
export interface DoctorSettings {
  config(): Promise<ResolvedSync>
  databaseUrl(): string
  apiKey(): string
  baseUrl(): string | undefined
  webhookSecrets(): readonly string[]
  proxy(): ProxySettings | undefined
}
