#!/usr/bin/env node
/** @file The `potstill` executable. */
import { main } from "./main.ts";

process.exitCode = await main(process.argv.slice(2));
