const stopSignals = ['SIGTERM', 'SIGINT'] as const

export type StopSignal = (typeof stopSignals)[number]

/**
 * Calls `onSignal` for each SIGTERM and SIGINT, with how many there were, and keeps them from ending the process.
 * @returns what gives them back their usual effect.
 */
export function onStopSignals(onSignal: (signal: StopSignal, count: number) => void): () => void {
  let count = 0
  const listener = (signal: NodeJS.Signals): void => {
    count += 1
    onSignal(signal as StopSignal, count)
  }
  for (const signal of stopSignals) process.on(signal, listener)
  return () => {
    for (const signal of stopSignals) process.off(signal, listener)
  }
}
