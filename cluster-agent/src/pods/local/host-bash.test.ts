import { localContract } from './contract.ts'

localContract('bash')
