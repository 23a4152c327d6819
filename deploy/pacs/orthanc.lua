-- Orthanc sends each mammography study to FAPS Node once it is stable, over one association.
--
-- In Orthanc's configuration:
--   "LuaScripts"      : [ "/etc/orthanc/faps-node.lua" ],
--   "StableAge"       : 5,
--   "DicomModalities" : { "faps-node" : [ "FAPS", "faps-node.example", 11112 ] }

local NODE = 'faps-node'
-- User-defined metadata (1024 and up): how many mammograms of the study have been sent.
local SENT = '1024'

local function mammograms(study)
  local series = ParseJson(RestApiGet('/studies/' .. study .. '/series'))
  local found, images = {}, 0
  for _, one in ipairs(series) do
    if one['MainDicomTags']['Modality'] == 'MG' then
      table.insert(found, one['ID'])
      images = images + #one['Instances']
    end
  end
  return found, images
end

function OnStableStudy(study, tags, metadata)
  local series, images = mammograms(study)
  -- Results of the node make the study stable anew: without this count it would be sent again.
  if images == 0 or metadata[SENT] == tostring(images) then
    return
  end
  RestApiPut('/studies/' .. study .. '/metadata/' .. SENT, tostring(images))
  RestApiPost('/modalities/' .. NODE .. '/store',
              DumpJson({ Resources = series, Synchronous = false }, true))
end
