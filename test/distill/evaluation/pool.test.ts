/** @file Pools of networks: by name and by the letters that the field's programs have. */

import { describe, expect, it } from "vitest";

import { networkPool } from "../../../distill/evaluation/pool.ts";

const task = { channels: 3, size: 32, classes: 10 };
const own = { network: "ConvNetD2BN", width: 16 };
const names = (text: string): string[] => networkPool(text, task, own).map(({ name }) => name);

describe("a pool", () => {
  it.each([
    ["S", "ConvNetD2"],
    ["SS", "ConvNetD2BN"],
    ["C", "ConvNetD2BN ConvNet"],
    ["M", "MLP ConvNet LeNet AlexNet VGG11 ResNet18"],
    ["B", "ConvNetBN ConvNetASwishBN AlexNetBN VGG11BN ResNet18BN"],
    ["W", "ConvNetW32 ConvNetW64 ConvNetW128 ConvNetW256"],
    ["D", "ConvNetD1 ConvNetD2 ConvNetD3 ConvNetD4"],
    ["A", "ConvNetAS ConvNetAR ConvNetAL ConvNetASwish"],
    ["P", "ConvNetNP ConvNetMP ConvNetAP"],
    ["N", "ConvNetNN ConvNetBN ConvNetLN ConvNetIN ConvNetGN"],
    ["MLP, ConvNetD3,SS,MLP", "MLP ConvNetD3 ConvNetD2BN"],
  ])("%s has the published networks, each once", (text, expected) => {
    expect(names(text)).toEqual(expected.split(" "));
  });

  it("gives ConvNets the width of the network that the set was made with, unless they state one", () => {
    const [narrow, stated] = networkPool("ConvNetD1,ConvNetD1W8", task, own);
    expect(narrow!.parameters[0]!.shape).toEqual([16, 3, 3, 3]);
    expect(stated!.parameters[0]!.shape).toEqual([8, 3, 3, 3]);
  });

  it("refuses what it does not know, and nothing between commas", () => {
    expect(() => names("MLP,Q")).toThrow(/^network: must be one of .*, got "Q"$/);
    expect(() => names("MLP,,S")).toThrow(
      'networks: must be names or letters joined by commas, got "MLP,,S"',
    );
  });
});
