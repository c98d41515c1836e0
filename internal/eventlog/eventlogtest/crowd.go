package eventlogtest

var crowdCases []testCase
