import type { ResolvedSync } from '../config/resolved.js'
import type { Logger } from '../logger.js'
import { checkInstalled } from '../pipeline/check-installed.js'
import { type Pipeline, type PipelineOptions, startPipeline } from '../pipeline.js'

/**
 * Starts a pipeline. Where what `migrate` installs does not fit the mapping, it says so, or with the setting `strict`
 * does not start.
 */
export async function startChecked(
  options: PipelineOptions & { readonly resolved: ResolvedSync; readonly logger: Logger },
): Promise<Pipeline> {
  const { resolved, databaseUrl, logger } = options
  for (const problem of await checkInstalled({ resolved, databaseUrl, logger })) {
    if (resolved.strict) throw problem
    logger.error(problem.message, { code: problem.code, hint: problem.hint })
  }
  return startPipeline(options)
}
