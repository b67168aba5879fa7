/** @file The reference of the public interface, from its comments: `npm run docs:api` writes docs/api. */
import { OptionDefaults } from "typedoc";

export default {
  name: "Potstill",
  entryPoints: ["distill/index.ts", "engine/index.ts", "models/index.ts"],
  out: "docs/api",
  readme: "none",
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  // `npm run typecheck` does.
  skipErrorChecking: true,
  blockTags: [...OptionDefaults.blockTags, "@file"],
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  requiredToBeDocumented: ["Class", "Interface", "Function", "TypeAlias"],
  treatValidationWarningsAsErrors: true,
  intentionallyNotExported: [
    "distill/evaluation/score.ts:Bench",
    "distill/matching/methods.ts:METHOD_NAMES",
    "distill/recipe-schema.ts:recipeSchema",
    "distill/recipe-schema.ts:teachingSchema",
    "distill/recipe-schema.ts:Settings",
    "distill/report/tensorboard.ts:EventFile",
    "distill/run.ts:Keeping",
    "distill/teachers/teacher.ts:Lanes",
    "distill/teachers/teacher-meta.ts:kindSchema",
    "distill/teachers/teacher-meta.ts:metaSchema",
    "distill/teachers/trajectory.ts:COMMON",
    "distill/training/strategy.ts:OPERATORS",
    "engine/graph/tensor.ts:Op",
    "engine/gpu/plan.ts:Dispatch",
    "engine/gpu/plan.ts:Place",
    "engine/ops/conv-kernels.ts:Parts",
    "engine/ops/matmul.ts:MatmulParams",
  ],
};
