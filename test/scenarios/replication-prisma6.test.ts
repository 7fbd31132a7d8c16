import { runScenarios } from './run.js'

runScenarios('replication', '6.19')
