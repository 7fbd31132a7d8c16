import { collectDefaultMetrics } from 'prom-client'
import type { ResolvedSync } from '../config/resolved.js'
import type { Logger } from '../logger.js'
import type { Meter } from '../meter.js'
import { packageVersion } from '../package-version.js'
import type { Pipeline } from '../pipeline.js'
import { type Readiness, readiness } from './health.js'
import { callMetrics } from './metrics/call-metrics.js'
import { databaseMetrics } from './metrics/database-metrics.js'
import { pipelineMetrics } from './metrics/pipeline-metrics.js'
import { Metrics } from './metrics/registry.js'
import { Sampler } from './sampler.js'

export interface MonitorOptions {
  readonly resolved: ResolvedSync
  readonly databaseUrl: string
  readonly logger: Logger
}

/** As far as a monitor looks at it. */
export type Monitored = Pick<Pipeline, 'state' | 'measures'>

/** `/readyz` is asked by who waits a second at most. */
const readyWaitMs = 700

/** How a process does: its metrics and whether it is ready, from before its pipeline has started until after it has ended. */
export class Monitor {
  /** To be handed to the pipeline. */
  readonly meter: Meter
  /** Of {@link Monitor.metrics}. */
  readonly contentType: string
  readonly #startedAt = new Date()
  readonly #metrics = new Metrics()
  readonly #sampler: Sampler
  readonly #setPipeline: ReturnType<typeof pipelineMetrics>
  readonly #setDatabase: ReturnType<typeof databaseMetrics>
  #pipeline: Monitored | null = null
  #stopping = false
  #scraping: Promise<string> | null = null

  constructor(options: MonitorOptions) {
    const { resolved } = options
    collectDefaultMetrics({ register: this.#metrics.registry })
    this.meter = callMetrics(this.#metrics)
    this.#setPipeline = pipelineMetrics(this.#metrics, { version: packageVersion(), resolved })
    this.#setDatabase = databaseMetrics(this.#metrics)
    this.#sampler = new Sampler(options)
    this.contentType = this.#metrics.registry.contentType
  }

  watch(pipeline: Monitored): void {
    this.#pipeline = pipeline
  }

  stopping(): void {
    this.#stopping = true
  }

  /** All of it in Prometheus' text format; one at a time, whoever comes meanwhile is given the same. */
  metrics(): Promise<string> {
    this.#scraping ??= this.#scrape().finally(() => {
      this.#scraping = null
    })
    return this.#scraping
  }

  async readiness(): Promise<Readiness> {
    return this.#readiness(await this.#sampler.ledgerUp(readyWaitMs))
  }

  close(): Promise<void> {
    return this.#sampler.close()
  }

  async #scrape(): Promise<string> {
    const sample = await this.#sampler.sample()
    const pipeline = this.#pipeline
    this.#setDatabase(sample)
    this.#setPipeline({
      readiness: this.#readiness(sample.ledgerUp),
      state: pipeline?.state ?? null,
      measures: pipeline?.measures() ?? null,
    })
    return this.#metrics.registry.metrics()
  }

  #readiness(ledgerUp: boolean | null): Readiness {
    const measures = this.#pipeline?.measures()
    return readiness({
      startedAt: this.#startedAt,
      state: this.#pipeline?.state ?? null,
      stopping: this.#stopping,
      failure: measures?.failure ?? null,
      ledgerUp,
      misfits: measures?.misfits ?? [],
      uncaptured: measures?.uncaptured ?? [],
      unpushed: measures?.unpushed ?? [],
    })
  }
}
