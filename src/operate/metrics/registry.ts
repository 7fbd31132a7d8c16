import { Counter, Gauge, Histogram, Registry } from 'prom-client'

type Labels = Readonly<Record<string, string>>
export type Values = readonly (readonly [Labels, number])[]

/**
 * The metrics of one sync, under a prefix of its own and apart from the application's. What the rooms count as plain numbers,
 * and what the databases say, is set when it is asked for.
 */
export class Metrics {
  readonly registry = new Registry()

  /** Returns how to set it; what is not named any more, or is `null`, is left out. */
  gauge(name: string, help: string, labelNames: readonly string[] = []): (value: Values | number | null) => void {
    const gauge = new Gauge({ name: `safetykit_${name}`, help, labelNames, registers: [this.registry] })
    const set = (value: Values | number | null): void => {
      if (labelNames.length > 0) gauge.reset()
      // Without labels a reset would make it 0, which says something.
      else gauge.remove()
      if (typeof value === 'number') gauge.set(value)
      else for (const [labels, one] of value ?? []) gauge.set(labels, one)
    }
    set(null)
    return set
  }

  /** Returns how to set it to what was counted elsewhere. */
  total(name: string, help: string, labelNames: readonly string[] = []): (value: Values | number) => void {
    const counter = new Counter({ name: `safetykit_${name}_total`, help, labelNames, registers: [this.registry] })
    return (value) => {
      counter.reset()
      if (typeof value === 'number') counter.inc(value)
      else for (const [labels, one] of value) counter.inc(labels, one)
    }
  }

  histogram(options: {
    readonly name: string
    readonly help: string
    readonly labelNames?: readonly string[]
    readonly buckets: readonly number[]
  }): (labels: Labels, value: number) => void {
    const { name, help, labelNames = [], buckets } = options
    const histogram = new Histogram({
      name: `safetykit_${name}`,
      help,
      labelNames,
      buckets: [...buckets],
      registers: [this.registry],
    })
    return (labels, value) => histogram.observe(labels, value)
  }
}
