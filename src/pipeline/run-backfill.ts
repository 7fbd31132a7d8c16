import type { ResolvedSync } from '../config/resolved.js'
import { explainingDatabase } from '../database-errors.js'
import { apiKey, baseUrl, databaseUrl, type Given, proxy } from '../environment.js'
import type { Logger } from '../logger.js'
import { startPipeline } from '../pipeline.js'
import type { BackfillReport, BackfillRequest } from './backfill/report.js'

/** What a backfill from code can be told. What is left out is read from the environment. */
export interface BackfillOptions extends BackfillRequest {
  /** Default: `DATABASE_URL`. */
  readonly databaseUrl?: string
  /** Default: `SAFETYKIT_API_KEY`. */
  readonly apiKey?: string
  /** Default: `SAFETYKIT_BASE_URL`, else `https://api.safetykit.com`. */
  readonly baseUrl?: string
  /** Default: silent. */
  readonly logger?: Logger
}

/** Starts a worker, has it bring in what exists, and stops it. */
export async function runBackfill(resolved: ResolvedSync, options: BackfillOptions): Promise<BackfillReport> {
  const url = databaseUrl(given(options, 'databaseUrl'))
  const api = { apiKey: apiKey(given(options, 'apiKey')), baseUrl: baseUrl(given(options, 'baseUrl')), proxy: proxy() }
  const { logger, signal } = options
  return explainingDatabase(url, async () => {
    const pipeline = await startPipeline({ resolved, databaseUrl: url, ...api, ...(logger && { logger }), signal })
    try {
      return await pipeline.backfill(options)
    } finally {
      await pipeline.stop()
    }
  })
}

const given = (options: BackfillOptions, name: 'databaseUrl' | 'apiKey' | 'baseUrl'): Given => ({
  value: options[name],
  name: `${name} of sync.backfill()`,
  orGive: `, or give it to sync.backfill({ ${name} })`,
})
