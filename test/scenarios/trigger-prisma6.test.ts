import { runScenarios } from './run.js'

runScenarios('trigger', '6.19')
