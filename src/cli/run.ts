import { type Command, InvalidArgumentError } from 'commander'
import { addConfigOptions, addHelp, addLogLevel, environmentHelp } from './options.js'

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .summary('deliver every change, until stopped')
    .description(
      'Reads the changes of the mapped tables and delivers them to SafetyKit, until it is stopped. On SIGTERM or SIGINT ' +
        'it takes no more, settles what is in flight and exits 0; a second signal ends it at once with 1, and what was ' +
        'not settled comes again at the next start.',
    )
    .option('--base-url <url>', 'the API (default: SAFETYKIT_BASE_URL, else https://api.safetykit.com)')
    .option('--webhook-port <port>', 'serve webhooks at /webhook on this port (0: any free one)', portNumber)
    .option('--webhook-host <address>', 'the address to serve them at', '0.0.0.0')
    .option('--metrics-port <port>', 'serve /metrics, /healthz and /readyz on this port (0: any free one)', portNumber)
    .option('--metrics-host <address>', 'the address to serve them at', '127.0.0.1')
    .action(async (flags) => (await import('./run-sidecar.js')).runSidecar(flags))
  addConfigOptions(command)
  addLogLevel(command, 'info')
  addHelp(
    command,
    `Environment:\n${environmentHelp.database}\n${environmentHelp.api}\n${environmentHelp.webhook}\n${environmentHelp.file}

It logs to stdout: readable in a terminal, elsewhere one JSON object a line.

Examples:
  safetykit-sync run
  safetykit-sync run --config config/safetykit.config.ts --log-level debug
  safetykit-sync run --webhook-port 8787
  safetykit-sync run --metrics-port 9464`,
  )
}

function portNumber(text: string): number {
  const port = Number(text)
  if (/^\d+$/.test(text) && port <= 65_535) return port
  throw new InvalidArgumentError('It has to be a whole number from 0 to 65535.')
}
